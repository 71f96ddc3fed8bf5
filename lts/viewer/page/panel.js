// What panels beside the planes share; all of it is text and never markup.

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

/** Sentences on the scan. */
export function fillNotes(notes) {
  byId("notes").replaceChildren(...notes.map((note) => element("li", note)));
  byId("notes-box").hidden = notes.length === 0;
}

/** The colors of the regions in masks as in `Viewer`; `hasSecond` is whether those of the second are among them. */
export function fillLegend(regions, masks, hasSecond) {
  const entry = (text, data) => {
    const made = element("li", text);
    Object.assign(made.dataset, data);
    return made;
  };
  const of = (mask) =>
    regions.map((region) => {
      const name = [`${region[0].toUpperCase()}${region.slice(1)}`, masks[mask]].filter(Boolean).join(", ");
      const dashed = mask === masks.dashed;
      return entry(name, { region, ...(mask === "second" && { mask }), ...(dashed && { dashed }) });
    });
  const others = hasSecond ? [...of("second"), entry("Masks differ", { mask: "differ" })] : [];
  byId("legend").replaceChildren(...of("first"), ...others);
}

/** The size of the scan and of its voxels, then `more` facts `[name, fact]`. */
export function fillFacts(scan, more) {
  const [depth, rows, columns] = scan.whole_shape ?? scan.shape;
  const [sliceMm, rowMm, columnMm] = scan.spacing_mm.map((mm) => Number(mm.toFixed(3)));
  const facts = [
    ["Slices", `${depth}, ${sliceMm} mm apart`],
    ["Matrix", `${columns} \u00d7 ${rows}`],
    ["Pixels", `${columnMm} \u00d7 ${rowMm} mm`],
    ...more,
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, fact]) => [element("dt", name), element("dd", fact)]));
}

/** The choice of gray windows; `onWindow(window)` is called with the one that is chosen. */
export function fillWindows(windows, onWindow) {
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
