"""The attributes that a segmentation copies from its series, and DICOM's rules for each (PS3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """The rule of a copied attribute.

    Attributes:
        may_lack: Whether it may be absent; else it is empty if the series has no valid value.
        values: The allowed values; empty for any.
        needs: One attribute of each of these groups must exist, or it is left out.
        needs_if: The value that has these needs; "" for any.
        items: For a sequence, the rules of its items.
    """

    may_lack: bool = True
    values: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    needs_if: str = ""
    items: "Mapping[str, Rule] | None" = None


def _all(rule: Rule, *keywords: str) -> dict[str, Rule]:
    return dict.fromkeys(keywords, rule)


_OPTIONAL, _MAY_BE_EMPTY = Rule(), Rule(may_lack=False)
_YES_NO = ("YES", "NO")
_METHODS = ("DeidentificationMethod", "DeidentificationMethodCodeSequence")
_SUBJECT = ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID")
_TRIAL = (("ClinicalTrialSponsorName",), ("ClinicalTrialProtocolID",), _SUBJECT)
_ETHICS = (
    ("ClinicalTrialProtocolEthicsCommitteeName",),
    ("ClinicalTrialProtocolEthicsCommitteeApprovalNumber",),
)
_CODE_PARTS = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_CODE = Rule(
    items=_all(Rule(needs=tuple((part,) for part in _CODE_PARTS)), *_CODE_PARTS, "CodingSchemeVersion")
)

RULES: Mapping[str, Rule] = {
    # patient and study: PS3.3 C.7.1.1, C.7.2.1, C.7.2.2
    **_all(_MAY_BE_EMPTY, "PatientName", "PatientID", "PatientBirthDate"),
    "PatientSex": Rule(may_lack=False, values=("M", "F", "O")),
    **_all(_MAY_BE_EMPTY, "StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
    **_all(_OPTIONAL, "IssuerOfPatientID", "PatientBirthTime", "OtherPatientNames", "PatientComments"),
    **_all(_OPTIONAL, "StudyDescription", "ConsultingPhysicianName", "PhysiciansOfRecord"),
    **_all(_OPTIONAL, "NameOfPhysiciansReadingStudy", "RequestingService", "AdmittingDiagnosesDescription"),
    **_all(_OPTIONAL, "PatientAge", "PatientSize", "PatientWeight", "PatientBodyMassIndex", "PatientState"),
    **_all(_OPTIONAL, "MedicalAlerts", "Allergies", "Occupation", "AdditionalPatientHistory"),
    **_all(_OPTIONAL, "LastMenstrualDate", "ReasonForVisit", "AdmissionID", "ServiceEpisodeID"),
    "ServiceEpisodeDescription": _OPTIONAL,
    "SmokingStatus": Rule(values=(*_YES_NO, "UNKNOWN")),
    "TypeOfPatientID": Rule(values=("TEXT", "RFID", "BARCODE")),
    "QualityControlSubject": Rule(values=_YES_NO),
    "PatientIdentityRemoved": Rule(values=_YES_NO, needs=(_METHODS,), needs_if="YES"),
    "DeidentificationMethod": _OPTIONAL,
    **_all(_CODE, "DeidentificationMethodCodeSequence"),
    **_all(_CODE, "ProcedureCodeSequence", "ReasonForPerformedProcedureCodeSequence"),
    # clinical trials, all that must be there or nothing of it: PS3.3 C.7.1.3, C.7.2.3
    **_all(Rule(needs=_TRIAL), "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", *_SUBJECT),
    **_all(Rule(may_lack=False, needs=_TRIAL), "ClinicalTrialProtocolName"),
    **_all(Rule(may_lack=False, needs=_TRIAL), "ClinicalTrialSiteID", "ClinicalTrialSiteName"),
    **_all(Rule(needs=(*_TRIAL, *_ETHICS)), *(name for (name,) in _ETHICS)),
    "ClinicalTrialTimePointID": _OPTIONAL,
    "ClinicalTrialTimePointDescription": Rule(needs=(("ClinicalTrialTimePointID",),)),
    # the scanner, and what became of its images: PS3.3 C.7.4.1, C.7.5.1, C.7.6.1
    **_all(_OPTIONAL, "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber"),
    **_all(_OPTIONAL, "InstitutionName", "InstitutionalDepartmentName", "StationName"),
    "PositionReferenceIndicator": _MAY_BE_EMPTY,
    "LossyImageCompression": Rule(values=("00", "01")),
    **_all(_OPTIONAL, "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
}
