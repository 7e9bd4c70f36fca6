// Sorts a table when one of its headers is clicked: numbers by value, texts by letters, empty cells last; a second click turns it round.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending" || (head.classList.contains("n") && !head.hasAttribute("aria-sort"));
    const units = { s: 1, min: 60, h: 3600 };
    const value = (row) => {
      const text = row.cells[column].textContent.trim();
      const found = /^[<>]?([+-]?[\d,]*\.?\d+)\s*(s|min|h)?\b/.exec(text);
      return { text, number: found ? parseFloat(found[1].replaceAll(",", "")) * (units[found[2]] ?? 1) : null };
    };
    const rows = [...body.rows].map((row) => ({ row, ...value(row) }));
    const numeric = head.classList.contains("n");
    rows.sort((a, b) => {
      if (numeric && (a.number === null || b.number === null)) return (a.number === null) - (b.number === null);
      const order = numeric ? a.number - b.number : a.text.localeCompare(b.text, "en");
      return down ? -order : order;
    });
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(({ row }) => row));
  });
}

// A link to something inside closed details opens them.
const open = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", open);
open();
