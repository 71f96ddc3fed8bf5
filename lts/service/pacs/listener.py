"""Listens for DICOM associations: C-ECHO, and C-STORE of what may be a scan."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket
from typing import Any

from pydicom import uid
from pydicom.filewriter import write_file_meta_info
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification

from lts.base import ConfigError, short_name
from lts.service.metrics import PacsCounts
from lts.service.pacs.intake import Intake, Sender, Status, Taken
from lts.service.pacs.options import PacsOptions
from lts.service.settings import MIB

_SCANS = (
    *(uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage),
    *(uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage),
)
_PLAIN = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
_PACKED = [
    *(uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGLSNearLossless),
    *(uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K),
    *(uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit),
]
"""What a scan may be compressed by; other objects are passed over, whatever holds them."""

_ASKED_PDU_BYTES = 2**17
_MOST_PDU_BYTES = 2**20
"""Message units that senders are asked to keep to, and the largest that is read: pynetdicom would read any,
whole into memory."""
_P_DATA_TF, _A_RELEASE_RQ = 0x04, 0x05
"""First bytes of message units, PS3.8 table 9-1."""
_ASSOCIATE_S = 15.0
_ABORT_S = 2.0
_TICK_S = 0.01
_DICM = bytes(128) + b"DICM"


@dataclass(eq=False)
class _Peer:
    """The other side of an association.

    Attributes:
        sender: Of its instances; None until the association is accepted.
        unread_bytes: What has come of messages that nobody has handled.
        released: Whether it asked to end the association.
    """

    sender: Sender | None = None
    unread_bytes: int = 0
    released: bool = False


class Listener:
    """Takes associations, and gives the instances of each to an intake.

    Objects of all kinds are accepted, as senders hand on whole studies and give up at the first that is not;
    the intake passes over what is not wanted.

    Args:
        options: Names, limits and times; their port is not None.
        intake: Takes the instances.
        counts: What is counted.
        log: Called with one line at a time.

    Raises:
        ConfigError: The port cannot be listened on.
    """

    def __init__(
        self, options: PacsOptions, intake: Intake, *, counts: PacsCounts, log: Callable[[str], None]
    ) -> None:
        self._options, self._intake, self._counts, self._log = options, intake, counts, log
        self._peers: dict[Any, _Peer] = {}
        self._sockets: dict[Any, socket] = {}
        self._lock = threading.Lock()
        self._ae = AE(ae_title=options.ae_title)
        self._ae.require_called_aet = True
        self._ae.require_calling_aet = list(options.calling)
        self._ae.maximum_associations = options.max_associations
        self._ae.maximum_pdu_size = _ASKED_PDU_BYTES
        self._ae.acse_timeout = _ASSOCIATE_S
        self._ae.network_timeout = options.idle_s
        self._ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(context.abstract_syntax, _PLAIN)
        for sop_class in _SCANS:
            self._ae.add_supported_context(sop_class, [*_PLAIN, *_PACKED])
        handlers = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_REJECTED, self._rejected),
            (evt.EVT_DATA_RECV, self._came),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, self._ended),
            (evt.EVT_ABORTED, self._ended),
            (evt.EVT_CONN_CLOSE, self._ended),
        ]
        try:
            self._server = self._ae.start_server(
                (options.host, options.port), block=False, evt_handlers=handlers
            )
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"host, port: cannot listen on {options.host} port {options.port}: {reason}"
            ) from error

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self._server.socket.getsockname()[1]
        return port

    def check(self) -> None:
        """Let go of associations that have ended, also without a word; to be called now and then."""
        with self._lock:
            gone = [one for one in self._sockets if _has_ended(one)]
            sockets = [self._sockets.pop(one) for one in gone]
        for association, own in zip(gone, sockets, strict=True):
            own.close()  # pynetdicom leaves one that its peer has closed to the collector
            self._end(association)

    def close(self) -> None:
        """Listen no more, and abort what is open; what does not end at once is cut off."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server = None
        opened = self._ae.active_associations
        aborted = [association for association in opened if association.is_established]
        for association in aborted:
            association.abort(block=False)
        end = time.monotonic() + _ABORT_S
        while any(association.dul.is_alive() for association in aborted) and time.monotonic() < end:
            time.sleep(_TICK_S)
        with self._lock:
            sockets = list(self._sockets.values())
            self._sockets.clear()
        for own in sockets:
            with suppress(OSError):  # its peer has gone
                own.shutdown(SHUT_RDWR)
            own.close()

    def _opened(self, event: Any) -> None:
        """A connection: no unit beyond the limit is read into memory, and none is waited for without end."""
        wire = event.assoc.dul.socket
        receive = wire.recv

        def receive_bounded(n_bytes: int) -> Any:
            if n_bytes > _MOST_PDU_BYTES:
                raise OSError(f"a message unit must have at most {_MOST_PDU_BYTES} bytes, got {n_bytes}")
            return receive(n_bytes)

        wire.recv = receive_bounded
        wire.socket.settimeout(self._options.idle_s)
        with self._lock:
            self._peers[event.assoc] = _Peer()
            self._sockets[event.assoc] = wire.socket

    def _accepted(self, event: Any) -> None:
        sender = self._intake.begin(_name(event.assoc))
        with self._lock:
            if event.assoc in self._peers:
                self._peers[event.assoc].sender = sender

    def _rejected(self, event: Any) -> None:
        requestor, options = event.assoc.requestor, self._options
        called = str(requestor.primitive.called_ae_title).strip()
        if called != options.ae_title.strip():
            why = f"it calls {short_name(called)}, and this is {options.ae_title.strip()}"
        elif options.calling and requestor.ae_title.strip() not in {one.strip() for one in options.calling}:
            why = "this AE title may not send"
        else:
            why = f"{options.max_associations} associations are open, which is the most"
        self._counts.rejected()
        self._log(f"{_name(event.assoc)}: association refused: {why}")
        self._end(event.assoc)

    def _came(self, event: Any) -> None:
        """Bytes of a message unit, before anything is made of them."""
        peer = self._peers.get(event.assoc)
        if peer is None:
            return
        kind = event.data[0]
        if kind == _A_RELEASE_RQ:
            # The association may be gone before the event of its release comes.
            peer.released = True
        elif kind == _P_DATA_TF:
            peer.unread_bytes += len(event.data)
            if peer.unread_bytes > self._options.max_series_mib * MIB:
                who = "an association" if peer.sender is None else peer.sender.name
                self._log(f"{who}: aborted, an instance must have at most {self._options.max_series_mib} MiB")
                event.assoc.abort(block=False)

    def _store(self, event: Any) -> int:
        """Answer a C-STORE request, by the number that its sender is told."""
        peer = self._peers.get(event.assoc)
        if peer is None or peer.sender is None:
            return int(Status.NO_ROOM)
        try:
            taken = self._take(event, peer, peer.sender)
        except OSError as error:
            taken = self._intake.no_room(peer.sender, error)
        except Exception as error:  # or pynetdicom would answer, and the intake not know what it lacks
            taken = self._intake.refuse(
                peer.sender, Status.NOT_UNDERSTOOD, f"an instance cannot be written: {error}"
            )
        return int(taken.status)

    def _take(self, event: Any, peer: _Peer, sender: Sender) -> Taken:
        request = event.request
        with request.DataSet.getbuffer() as content:
            peer.unread_bytes = max(0, peer.unread_bytes - len(content))
            path = self._intake.new_file(sender)
            with path.open("xb") as file:
                file.write(_DICM)
                write_file_meta_info(file, event.file_meta)
                file.write(content)
        announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        return self._intake.take(sender, path, announced=announced)

    def _ended(self, event: Any) -> None:
        self._end(event.assoc)

    def _end(self, association: Any) -> None:
        with self._lock:
            peer = self._peers.pop(association, None)
        if peer is not None and peer.sender is not None:
            self._intake.end(peer.sender, whole=peer.released)


def _has_ended(association: Any) -> bool:
    """Whether both threads of an association have begun and ended."""
    threads = (association, association.dul)
    return all(thread.ident is not None and not thread.is_alive() for thread in threads)


def _name(association: Any) -> str:
    """Who asked for an association, for the log."""
    requestor = association.requestor
    return f"{short_name(requestor.ae_title.strip())} at {requestor.address}"
