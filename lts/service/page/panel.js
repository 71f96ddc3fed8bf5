// The panel: what was measured, as text and never as markup.

const byId = (id) => document.getElementById(id);

export function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** A volume or share in as many digits as it deserves. */
export function amount(value) {
  if (value >= 100) {
    return value.toFixed(0);
  }
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** Fill the panel and the choice of gray windows; `onWindow(window)` is called with the one that is chosen. */
export function fillPanel(scan, { onWindow }) {
  byId("case").textContent = scan.case;
  byId("download").href = scan.links.mask;
  byId("lesion-table").href = scan.links.lesions;
  byId("lesion-table").hidden = (scan.lesions ?? []).length === 0;
  fillDicom(scan.links);
  fillVolumes(scan);
  byId("notes").replaceChildren(...scan.notes.map((note) => element("li", note)));
  byId("notes-box").hidden = scan.notes.length === 0;
  fillFacts(scan);
  fillWindows(scan.windows, onWindow);
  fillLegend(scan.regions, false);
}

/** The colors of the regions; `hasSecond` is whether those of a second mask are among them. */
export function fillLegend(regions, hasSecond) {
  const entry = (text, data) => {
    const made = element("li", text);
    Object.assign(made.dataset, data);
    return made;
  };
  const entries = regions.map((region) => entry(region, { region }));
  if (hasSecond) {
    const name = (region) => `${region[0].toUpperCase()}${region.slice(1)}, second mask`;
    entries.push(...regions.map((region) => entry(name(region), { region, mask: "second" })));
    entries.push(entry("Masks differ", { mask: "differ" }));
  }
  byId("legend").replaceChildren(...entries);
}

/** The DICOM objects of a series; other scans have none. */
function fillDicom(links) {
  const choices = Array.from(byId("dicom").querySelectorAll("a"));
  for (const choice of choices) {
    const link = links[choice.dataset.link];
    choice.hidden = link === undefined;
    choice.href = link ?? "";
  }
  byId("dicom").hidden = choices.every((choice) => choice.hidden);
}

function fillVolumes(scan) {
  const rows = [
    ["Liver", scan.liver_ml, "ml", "liver"],
    ["Tumor", scan.tumor_ml, "ml", "tumor"],
    ["Tumor burden", scan.tumor_burden === null ? null : 100 * scan.tumor_burden, "%", ""],
  ].filter(([, value]) => value !== null && value !== undefined && !Number.isNaN(value));
  byId("volumes").replaceChildren(
    ...rows.map(([label, value, unit, region]) => {
      const [row, name, told] = [element("div"), element("dt", label), element("dd", amount(value))];
      row.dataset.region = region;
      name.classList.toggle("plain", region === "");
      told.append(" ", element("small", unit));
      row.append(name, told);
      return row;
    }),
  );
}

function fillFacts(scan) {
  const [depth, rows, columns] = scan.shape;
  const [sliceMm, rowMm, columnMm] = scan.spacing_mm.map((mm) => Number(mm.toFixed(3)));
  const facts = [
    ["Slices", `${depth}, ${sliceMm} mm apart`],
    ["Matrix", `${columns} \u00d7 ${rows}`],
    ["Pixels", `${columnMm} \u00d7 ${rowMm} mm`],
    ["Computed in", `${scan.seconds.toFixed(1)} s`],
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, fact]) => [element("dt", name), element("dd", fact)]));
}

function fillWindows(windows, onWindow) {
  const legend = byId("windows").querySelector("legend");
  const choices = windows.map((window, index) => {
    const [label, input] = [element("label", window.name), element("input")];
    [input.type, input.name, input.checked] = ["radio", "window", index === 0];
    input.addEventListener("change", () => onWindow(window));
    label.prepend(input);
    return label;
  });
  byId("windows").replaceChildren(legend, ...choices);
}
