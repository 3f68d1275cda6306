// Sort a table by a column; open on paper what is closed on the screen.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.sort;
      const numeric = head.classList.contains("n");
      const rows = [...table.tBodies[0].rows].sort((a, b) =>
        numeric ? Number(key(a)) - Number(key(b)) || 0 : key(a).localeCompare(key(b)));
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}
const closed = () => document.querySelectorAll("details.print:not([open])");
addEventListener("beforeprint", () => closed().forEach((one) => { one.open = true; }));
