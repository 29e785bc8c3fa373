"use strict";
// Sorting and filtering of the page's tables, and the choice of what the headline shows.
document.documentElement.classList.add("js");

(() => {
  const collator = new Intl.Collator("en", { numeric: true });

  function sortKey(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? (cell.classList.contains("num") ? cell.textContent : null);
    if (text === null) return cell.textContent.trim();
    return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
  }

  // Cells without a value stay last in both directions.
  function compare(a, b, direction) {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * (typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b));
  }

  function sortBy(table, header) {
    const numeric = header.classList.contains("num");
    const before = header.getAttribute("aria-sort");
    const first = numeric ? "descending" : "ascending";
    const order = before === first ? (numeric ? "ascending" : "descending") : first;
    for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    const keyed = Array.from(body.rows, (row) => [sortKey(row, Number(header.dataset.column)), row]);
    keyed.sort((a, b) => compare(a[0], b[0], order === "ascending" ? 1 : -1));
    body.append(...keyed.map(([, row]) => row));
  }

  function makeSortable(table) {
    for (const header of table.tHead.querySelectorAll("th[data-column]")) {
      const button = document.createElement("button");
      button.type = "button";
      const arrow = document.createElement("span");
      arrow.className = "arrow";
      arrow.setAttribute("aria-hidden", "true");
      button.append(...header.childNodes);
      button.firstChild.after(arrow);
      button.addEventListener("click", () => sortBy(table, header));
      header.append(button);
    }
  }

  // One form filters the rows of every table beside it; it counts those of the tables that are shown.
  function makeFilterable(form) {
    const rows = Array.from(form.parentElement.querySelectorAll("tbody tr"));
    const selects = Array.from(form.querySelectorAll("select[data-column]"));
    const search = form.querySelector("input[type=search]");
    const output = form.querySelector("output");
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      let all = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        const keep =
          selects.every((s) => !s.selectedIndex || row.cells[s.dataset.column].textContent.trim() === s.value.trim()) &&
          words.every((word) => text.includes(word));
        row.hidden = !keep;
        const counted = row.closest(".sheet").hidden ? 0 : 1;
        all += counted;
        shown += keep * counted;
      }
      output.textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
    };
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply(); // a browser may have kept what was typed before a reload
  }

  // One headline at a time: a select for the task and one for the reference, where there is a choice.
  function makeHeadline(form) {
    const sheets = Array.from(document.querySelectorAll(".headline"));
    const chosen = {};
    const show = () => {
      for (const sheet of sheets) sheet.hidden = Object.entries(chosen).some(([key, value]) => sheet.dataset[key] !== value);
    };
    const choices = [];
    for (const key of ["task", "reference"]) {
      const values = [...new Set(sheets.map((sheet) => sheet.dataset[key]))];
      chosen[key] = values[0];
      if (values.length > 1) choices.push(window.report.select(key, values, (value) => ((chosen[key] = value), show())));
    }
    form.prepend(...choices);
    show();
  }

  window.report = {
    read: (id) => JSON.parse(document.getElementById(id).textContent),
    // A labelled select; `options` are values, or pairs of a value and its text.
    select(label, options, onChange) {
      const element = document.createElement("label");
      const select = document.createElement("select");
      for (const option of options) {
        const [value, text] = Array.isArray(option) ? option : [option, option];
        select.add(new Option(text, value));
      }
      element.append(label[0].toUpperCase() + label.slice(1), select);
      select.addEventListener("change", () => onChange(select.value));
      return element;
    },
  };

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  makeHeadline(document.querySelector(".headlines > form"));
  document.querySelectorAll("form.filter").forEach(makeFilterable);
})();
