(() => {
  // tables: a click on a heading sorts, another turns round; rows without a value stay last
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a.localeCompare(b);
  };
  const sort = (heading) => {
    const table = heading.closest("table");
    const numbers = heading.dataset.first ?? "ascending";
    const now = heading.getAttribute("aria-sort");
    const other = { ascending: "descending", descending: "ascending" };
    const order = other[now] ?? numbers;
    all("th[aria-sort]", table).forEach((each) => each.setAttribute("aria-sort", "none"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const column = heading.cellIndex;
    const rows = all("tbody tr:not(.mean)", table).map((row) => [value(row, column), row]);
    rows.sort(([a], [b]) => (a === "") - (b === "") || sign * compare(a, b));
    rows.forEach(([, row]) => row.parentNode.insertBefore(row, all("tr.mean", row.parentNode)[0] ?? null));
  };
  all("th[aria-sort] button").forEach((button) => button.addEventListener("click", () => sort(button.closest("th"))));

  // heat map: one cell is chosen; arrows walk, and only the chosen cell is a stop of the Tab key
  const show = (cell) => {
    const [title, ...lines] = cell.title.split("\n");
    const detail = document.querySelector(".detail");
    const list = document.createElement("dl");
    for (const line of lines) {
      const [name, ...rest] = line.split(": ");
      const [pair, term, said] = ["div", "dt", "dd"].map((tag) => document.createElement(tag));
      [term.textContent, said.textContent] = [name, rest.join(": ")];
      pair.append(term, said);
      list.append(pair);
    }
    const heading = document.createElement("h3");
    heading.textContent = title;
    detail.replaceChildren(heading, list);
  };
  const maps = all(".map");
  const chosen = (map) => map.querySelector('td [aria-pressed="true"]') ?? map.querySelector("td button");
  for (const map of maps) {
    const rows = all("tr:has(button)", map);
    const cells = all("td button", map);
    const choose = (cell) => {
      for (const each of cells) {
        each.setAttribute("aria-pressed", each === cell);
        each.tabIndex = each === cell ? 0 : -1;
      }
      show(cell);
    };
    const beside = (cell, [down, right]) => {
      let row = rows.indexOf(cell.closest("tr"));
      let column = cell.closest("td").cellIndex;
      for (;;) {
        row += down;
        column += right;
        const there = rows[row]?.cells;
        const next = there?.[down ? Math.min(column, there.length - 1) : column];
        if (!next || next.querySelector("button")) return next?.querySelector("button");
      }
    };
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    for (const cell of cells) {
      cell.addEventListener("click", () => choose(cell));
      cell.addEventListener("keydown", (event) => {
        const next = steps[event.key] && beside(cell, steps[event.key]);
        if (steps[event.key]) event.preventDefault();
        if (next) { next.focus(); choose(next); }
      });
    }
    map.addEventListener("shown", () => choose(chosen(map)));
  }
  if (maps.length) maps[0].dispatchEvent(new Event("shown"));
})();
