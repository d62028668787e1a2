"use strict";
(() => {
  const study = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined && text !== null) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  // ---- words
  for (const [label, value, small] of study.facts) {
    const card = make("div", null, byId("facts"));
    make("dt", label, card);
    make("small", small, make("dd", value, card));
  }
  for (const { topic, verdict, headline, text } of study.findings) {
    const item = make("li", null, byId("findings"));
    item.className = verdict;
    make("span", topic, item);
    make("b", headline, item);
    make("p", text, item);
  }
  if (!study.findings.length) byId("verdicts").remove();
  if (study.points) {
    const head = make("tr", null, make("thead", null, byId("points")));
    study.points.header.forEach((title) => make("th", title, head));
    const body = make("tbody", null, byId("points"));
    for (const row of study.points.rows) {
      const line = make("tr", null, body);
      row.forEach((cell) => { make("td", cell, line).title = cell; });
    }
  } else byId("best").remove();
  byId("footer").textContent = study.footer;

  // ---- pictures: colours are names, looked up in the theme whenever it changes
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const viridis = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const onScale = (at) => {
    const place = Math.min(at, 0.9999) * (viridis.length - 1);
    const low = viridis[Math.floor(place)], high = viridis[Math.floor(place) + 1];
    return `rgb(${low.map((c, i) => Math.round(c + (high[i] - c) * (place % 1))).join(",")})`;
  };
  const colour = (name) => {
    if (name === "black" || name === "white") return name;
    if (name.startsWith("scale")) {
      const at = Number(name.slice(5)); // the best stands out from the paper, dark or light
      return onScale(dark.matches ? 0.3 + 0.7 * at : 0.95 * (1 - at));
    }
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  };
  const painted = (part, key) => {
    if (Array.isArray(part)) return part.map((one) => painted(one));
    if (part && typeof part === "object")
      return Object.fromEntries(Object.entries(part).map(([name, one]) => [name, painted(one, name)]));
    const isColour = typeof part === "string" && /color$/.test(key || "") && part.startsWith("@");
    return isColour ? colour(part.slice(1)) : part;
  };
  const narrow = () => window.innerWidth < 640;
  const dressed = (layout) => {
    const look = { gridcolor: colour("line"), linecolor: colour("line"), zerolinecolor: colour("line"), automargin: true };
    const done = painted(layout);
    for (const axis of ["xaxis", "yaxis", "yaxis2"])
      if (done[axis]) done[axis] = { ...look, nticks: axis === "yaxis2" ? 4 : 8, ...done[axis] };
    return {
      ...done, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
      font: { color: colour("ink"), size: narrow() ? 11 : 12, family: "inherit" },
      hoverlabel: { bgcolor: colour("card"), font: { color: colour("ink") } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)" },
      dragmode: narrow() ? false : "zoom", // on a phone, a finger on a picture scrolls the page
      margin: { l: narrow() ? 44 : 56, r: 12, t: 30, b: 40 },
    };
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: false };
  const redraw = [];
  for (const { id, title, note, choices } of study.figures) {
    const box = make("div", null, byId("pictures"));
    box.className = "picture";
    make("h2", title, box);
    make("p", note, box);
    let select = null;
    if (choices.length > 1) {
      select = make("select", null, box);
      select.setAttribute("aria-label", title);
      choices.forEach(([label], index) => { make("option", label, select).value = index; });
    }
    const plot = make("div", null, box);
    plot.className = "plot";
    plot.id = id;
    const draw = () => {
      const figure = choices[select ? select.selectedIndex : 0][1];
      return Plotly.react(plot, painted(figure.data), dressed(figure.layout), config);
    };
    if (select) select.addEventListener("change", draw);
    redraw.push(draw);
  }
  const ready = Promise.all(redraw.map((draw) => draw()));
  ready.then(() => { document.documentElement.dataset.drawn = "yes"; });
  dark.addEventListener("change", () => redraw.forEach((draw) => draw()));

  // ---- table
  const { header, rows } = study.table;
  const page = 200;
  const stateColumn = header.indexOf("state");
  let limit = page, sortedBy = 0, descending = false;
  const text = (cell) => {
    if (cell === null) return "";
    return typeof cell === "number" && !Number.isSafeInteger(cell) ? String(Number(cell.toPrecision(6))) : String(cell);
  };
  const asNumber = (cell) => (cell === null || cell === "" || typeof cell === "boolean" ? NaN : Number(cell));
  const compare = (a, b) => {
    const x = asNumber(a), y = asNumber(b);
    if (!Number.isNaN(x) && !Number.isNaN(y)) return x - y;
    return String(a).localeCompare(String(b));
  };
  const tests = {
    "<": (x) => x < 0, ">": (x) => x > 0, "<=": (x) => x <= 0, ">=": (x) => x >= 0, "=": (x) => x === 0, "!=": (x) => x !== 0,
  };
  const condition = (word) => {
    const parts = /^(.+?)(<=|>=|!=|<|>|=)(.+)$/.exec(word);
    const column = parts ? header.findIndex((name) => name.toLowerCase() === parts[1]) : -1;
    if (column < 0) return (row) => row.some((cell) => text(cell).toLowerCase().includes(word));
    return (row) => row[column] !== null && tests[parts[2]](compare(typeof row[column] === "string" ? row[column].toLowerCase() : row[column], parts[3]));
  };
  const best = rows.map((row) => row[header.indexOf("value")]).filter((value) => value !== null)
    .reduce((a, b) => (a === null || (study.direction === "minimize" ? b < a : b > a) ? b : a), null);
  const show = () => {
    const conditions = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
    const state = byId("state").value;
    const kept = rows.filter((row) => (!state || row[stateColumn] === state) && conditions.every((holds) => holds(row)));
    const empty = (cell) => cell === null || cell === "";
    kept.sort((a, b) => {
      const x = a[sortedBy], y = b[sortedBy];
      if (empty(x) || empty(y)) return empty(x) - empty(y); // empty cells stay at the end
      return descending ? compare(y, x) : compare(x, y);
    });
    const body = document.createElement("tbody");
    for (const row of kept.slice(0, limit)) {
      const line = make("tr", null, body);
      if (best !== null && row[header.indexOf("value")] === best) line.className = "best";
      row.forEach((cell, column) => {
        const one = make("td", text(cell), line);
        one.title = cell === null ? "" : String(cell);
        if (column === stateColumn) one.className = cell;
      });
    }
    byId("trials").tBodies[0].replaceWith(body);
    byId("count").textContent = kept.length === rows.length ? `${rows.length} trials` : `${kept.length} of ${rows.length} trials`;
    byId("more").hidden = kept.length <= limit;
  };
  const head = make("tr", null, byId("trials").tHead);
  header.forEach((name, column) => {
    const cell = make("th", null, head);
    cell.scope = "col";
    make("button", name, cell).addEventListener("click", () => {
      descending = sortedBy === column ? !descending : false;
      sortedBy = column;
      [...head.cells].forEach((one) => one.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
      show();
    });
  });
  head.cells[0].setAttribute("aria-sort", "ascending");
  [...new Set(rows.map((row) => row[stateColumn]))].forEach((state) => make("option", state, byId("state")));
  byId("filter").addEventListener("input", () => { limit = page; show(); });
  byId("state").addEventListener("change", () => { limit = page; show(); });
  byId("more").addEventListener("click", () => { limit += 5 * page; show(); });
  show();
})();
