"use strict";
(() => {
  const table = document.getElementById("matrix-table");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);

  const value = (row, column) => {
    const text = row.cells[column].dataset.value;
    const number = Number(text);
    return Number.isNaN(number) ? text : number;
  };

  const sortBy = (column, descending) => {
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => {
      const x = value(a, column);
      const y = value(b, column);
      return x < y ? -sign : x > y ? sign : value(a, 0) - value(b, 0);
    });
    body.append(...rows);
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const numbersFirstDown = head.classList.contains("number");
      sortBy(column, now ? now === "ascending" : numbersFirstDown);
    });
    head.replaceChildren(button);
  });
  heads[0].setAttribute("aria-sort", "ascending");

  const find = document.getElementById("find");
  const role = document.getElementById("role");
  const shown = document.getElementById("shown");
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const { name, role: own } = row.dataset;
      row.hidden = !(name.toLowerCase().includes(wanted) && (!role.value || own === role.value));
      count += !row.hidden;
    }
    shown.textContent = `${count} of ${rows.length}`;
  };
  find.addEventListener("input", filter);
  role.addEventListener("change", filter);
  filter();
  document.getElementById("controls").hidden = false;
})();
