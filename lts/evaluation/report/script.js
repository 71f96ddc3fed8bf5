"use strict";

const compareTexts = new Intl.Collator("en", { numeric: true }).compare;

function sortBy(header) {
  const table = header.closest("table");
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.querySelectorAll("th")) {
    other.removeAttribute("aria-sort");
  }
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");

  const numeric = header.dataset.kind === "number";
  const keyOf = (row) => row.cells[header.cellIndex].dataset.key;
  const compare = numeric ? (a, b) => Number(a) - Number(b) : compareTexts;
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => ({ row, key: keyOf(row) }));
  keyed.sort((a, b) => {
    if (a.key === undefined || b.key === undefined) {
      return (a.key === undefined) - (b.key === undefined);
    }
    return descending ? compare(b.key, a.key) : compare(a.key, b.key);
  });
  body.append(...keyed.map(({ row }) => row));
}

function filterBy(select) {
  const rows = Array.from(document.querySelectorAll("#case-table tbody tr"));
  for (const row of rows) {
    row.hidden = select.value !== "" && row.dataset.region !== select.value;
  }
  const shown = rows.filter((row) => !row.hidden).length;
  document.querySelector("output[for=region-filter]").textContent = `rows: ${shown} of ${rows.length}`;
}

function markCase(target) {
  const name = target instanceof Element ? target.closest("[data-case]")?.dataset.case : undefined;
  for (const point of document.querySelectorAll(".point[data-case]")) {
    point.classList.toggle("same", point.dataset.case === name);
  }
}

for (const button of document.querySelectorAll("table.sortable thead button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}

const select = document.getElementById("region-filter");
if (select) {
  select.addEventListener("change", () => filterBy(select));
  // A browser that comes back to the page restores the choice, not the rows.
  filterBy(select);
}

document.addEventListener("mouseover", (event) => markCase(event.target));
