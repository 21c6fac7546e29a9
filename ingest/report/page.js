"use strict";
// The page keeps no state but the two choices, and makes everything anew when one of them changes. Text from
// repositories gets into the document as text only.

const { figures, charts, lists, trailers } = JSON.parse(document.getElementById("figures").textContent);
const DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const WHOLE = new Intl.NumberFormat("en");
const BRIEF = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const MONTH = new Intl.DateTimeFormat("en", { year: "numeric", month: "long", timeZone: "UTC" });
const SHORT = new Intl.DateTimeFormat("en", { month: "short", timeZone: "UTC" });
const choice = { repository: document.getElementById("repository"), period: document.getElementById("period") };
const drawn = new Map();

const byId = (id) => document.getElementById(id);
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const start = (month) => Date.UTC(Math.floor(month / 12), month % 12);
const monthName = (month) => MONTH.format(start(month));
const counted = (number, one, many = `${one}s`) => `${WHOLE.format(number)} ${number === 1 ? one : many}`;

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function row(cells, head = false) {
  const made = element("tr");
  cells.forEach((cell, place) => {
    const attributes = head ? { scope: "col" } : { scope: "row" };
    made.append(head || place === 0 ? element("th", cell, attributes) : element("td", cell));
  });
  return made;
}

function fill(table, heads, rows) {
  const head = element("thead"), body = element("tbody");
  head.append(row(heads, true));
  body.append(...rows);
  table.replaceChildren(head, body);
}

// The months of a period, from the first one with a commit where all time is meant.

function monthsOf(repository, period) {
  const begun = repository.series.commits.findIndex((count) => count > 0) + figures.first_month;
  const first = period.key === "all" ? begun : Math.max(period.first, figures.first_month);
  const end = figures.first_month + repository.series.commits.length - 1;
  const months = [];
  for (let month = first; month <= Math.min(period.last, end); month++) {
    const at = (name) => repository.series[name][month - figures.first_month] ?? 0;
    months.push({ month, ...Object.fromEntries(Object.keys(repository.series).map((name) => [name, at(name)])) });
  }
  return months;
}

function monthly(months) {
  return months.map((each) => ({ ...each, start: start(each.month), end: start(each.month + 1),
    label: monthName(each.month) }));
}

// Bars of a month each are too many for a long history: then quarters, then years.

function grouped(months) {
  const size = months.length <= 72 ? 1 : months.length <= 360 ? 3 : 12;
  const groups = new Map();
  for (const each of months) {
    const first = Math.floor(each.month / size) * size;
    const group = groups.get(first) ?? { start: start(first), end: start(first + size), label: spanName(first, size) };
    for (const name of ["commits", "merges", "added", "removed", "newcomers", "leavers"]) {
      group[name] = (group[name] ?? 0) + each[name];
    }
    groups.set(first, group);
  }
  return { rows: [...groups.values()], unit: { 1: "month", 3: "quarter", 12: "year" }[size] };
}

function spanName(first, size) {
  const year = String(Math.floor(first / 12));
  if (size === 12) return year;
  return size === 1 ? monthName(first) : `${SHORT.format(start(first))} to ${SHORT.format(start(first + 2))} ${year}`;
}

function most(rows, field) {
  return rows.reduce((best, each) => (each[field] > best[field] ? each : best), rows[0]);
}

// What each chart shows: its rows, one sentence, and its table.

const shows = {
  commits({ months }) {
    const { rows, unit } = grouped(months), best = most(rows, "commits");
    return {
      rows, heads: [capital(unit), "Commits"], cells: (each) => [each.label, WHOLE.format(each.commits)],
      sentence: `${counted(sum(rows.map((each) => each.commits)), "commit")}, per ${unit}; ` +
        `most in ${best.label}: ${WHOLE.format(best.commits)}.`,
    };
  },
  contributors({ months, view }) {
    const rows = monthly(months), best = most(rows, "contributors");
    return {
      rows, heads: ["Month", "Contributors"], cells: (each) => [each.label, WHOLE.format(each.contributors)],
      sentence: `${counted(view.people, "person", "people")} in all; ` +
        `most in ${best.label}: ${WHOLE.format(best.contributors)}.`,
    };
  },
  people({ months }) {
    const { rows, unit } = grouped(months);
    const came = sum(rows.map((each) => each.newcomers)), left = sum(rows.map((each) => each.leavers));
    return {
      rows: rows.map((each) => ({ ...each, gone: -each.leavers })), empty: came + left === 0,
      heads: [capital(unit), "Newcomers", "Leavers"],
      cells: (each) => [each.label, WHOLE.format(each.newcomers), WHOLE.format(each.leavers)],
      sentence: `${counted(came, "person", "people")} came, ${WHOLE.format(left)} left, per ${unit}.`,
    };
  },
  churn({ months }) {
    const { rows, unit } = grouped(months);
    const added = sum(rows.map((each) => each.added)), removed = sum(rows.map((each) => each.removed));
    return {
      rows: rows.map((each) => ({ ...each, negative: -each.removed })), empty: added + removed === 0,
      heads: [capital(unit), "Added", "Removed"],
      cells: (each) => [each.label, WHOLE.format(each.added), WHOLE.format(each.removed)],
      sentence: `${BRIEF.format(added)} lines added, ${BRIEF.format(removed)} removed, per ${unit}.`,
    };
  },
  merges({ months }) {
    const { rows, unit } = grouped(months);
    const merges = sum(rows.map((each) => each.merges)), commits = sum(rows.map((each) => each.commits));
    return {
      rows: rows.map((each) => ({ ...each, share: each.commits ? each.merges / each.commits : 0 })),
      empty: merges === 0,
      heads: [capital(unit), "Merges", "Share"],
      cells: (each) => [each.label, WHOLE.format(each.merges), SHARE.format(each.share)],
      sentence: `${counted(merges, "merge")}, ${SHARE.format(merges / commits)} of all commits, per ${unit}.`,
    };
  },
  hours({ view }) {
    const rows = view.hours.map((commits, place) => {
      const day = DAYS[Math.floor(place / 24)], hour = place % 24;
      return { day: day.slice(0, 3), hour, commits, label: `${day}, ${clock(hour)} to ${clock(hour + 1)}` };
    });
    const best = most(rows, "commits"), total = sum(view.hours);
    const weekend = sum(view.hours.slice(120)) / total;
    const office = sum(view.hours.filter((_, place) => place < 120 && place % 24 >= 9 && place % 24 < 18)) / total;
    return {
      rows: rows.filter((each) => each.commits), heads: ["Hour", ...DAYS.map((day) => day.slice(0, 3))],
      table: Array.from({ length: 24 }, (_, hour) => [clock(hour),
        ...DAYS.map((_, day) => WHOLE.format(view.hours[day * 24 + hour]))]),
      sentence: `Most commits on ${best.label}. ${SHARE.format(office)} on weekdays from 9:00 to 18:00, ` +
        `${SHARE.format(weekend)} at weekends.`,
    };
  },
};

const capital = (word) => word[0].toUpperCase() + word.slice(1);
const clock = (hour) => `${String(hour).padStart(2, "0")}:00`;

async function draw(chart, shown) {
  const figure = byId(chart.id), plot = figure.querySelector(".plot"), { rows, heads, sentence, empty } = shown;
  byId(`${chart.id}-sentence`).textContent = empty ? "Nothing in this period." : sentence;
  plot.hidden = figure.querySelector("details").hidden = Boolean(empty);
  const lines = shown.table ?? rows.map(shown.cells);
  fill(figure.querySelector("table"), heads, lines.map((cells) => row(cells)));
  if (empty) return;
  if (drawn.has(chart.id)) await drawn.get(chart.id).data("rows", rows).resize().runAsync();
  else drawn.set(chart.id, (await embedded(chart, plot, rows)).view);
}

function embedded(chart, plot, rows) {
  // `ast` has expressions interpreted, so that the page may forbid scripts to be made of text.
  return vegaEmbed(plot.firstElementChild, { ...chart.specification, data: { name: "rows", values: rows } }, {
    actions: false, ast: true, defaultStyle: false, mode: "vega-lite", renderer: "svg",
    tooltip: { disableDefaultStyle: true }, loader: { load: () => Promise.reject(new Error("nothing is loaded")) },
  });
}

function ranked(list, view) {
  if (list.id === "trailers") {
    return Object.entries(view.trailers).filter(([, commits]) => commits).sort((one, other) => other[1] - one[1])
      .map(([name, commits]) => ({ name: trailers[name], commits, cells: [SHARE.format(commits / view.commits)] }));
  }
  return view[list.id].map(([name, commits, people]) => ({ name, commits,
    cells: list.people ? [WHOLE.format(people)] : [] }));
}

function rank(list, view) {
  const ranks = ranked(list, view), table = byId(list.id).querySelector("table");
  const largest = Math.max(...ranks.map((each) => each.commits));
  fill(table, list.heads, ranks.map(({ name, commits, cells }) => {
    const made = row([name, ...cells, WHOLE.format(commits)]);
    const track = element("span", "", { class: "bar", "aria-hidden": "true" }), bar = element("span");
    bar.style.width = `${(commits / largest) * 100}%`;
    track.append(bar);
    made.firstChild.append(track);
    return made;
  }));
  table.hidden = ranks.length === 0;
  byId(list.id).querySelector(".none")?.remove();
  if (!ranks.length) byId(list.id).append(element("p", "Nothing in this period.", { class: "none" }));
}

function numbers({ months, view }) {
  const total = (name) => sum(months.map((each) => each[name]));
  const shown = [
    ["Commits", WHOLE.format(view.commits)],
    ["Contributors", WHOLE.format(view.people)],
    ["Newcomers", WHOLE.format(total("newcomers"))],
    ["Lines added", BRIEF.format(total("added"))],
    ["Lines removed", BRIEF.format(total("removed"))],
    ["Merges", SHARE.format(total("merges") / view.commits)],
    ["Half of commits by", counted(view.half, "person", "people")],
  ];
  byId("numbers").replaceChildren(...shown.map(([name, value]) => {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    return pair;
  }));
}

// The whole page for the two choices.

async function show() {
  const repository = figures.repositories[choice.repository.value];
  const period = figures.periods.find((each) => each.key === choice.period.value);
  const view = repository.views[period.key], main = document.querySelector("main");
  const name = choice.repository.selectedOptions[0].text;
  main.setAttribute("aria-busy", "true");
  byId("about").textContent = `Commits from ${day(repository.first)} to ${day(repository.last)}. ` +
    `As of ${day(figures.made)}.`;
  byId("shown").hidden = !view;
  byId("nothing").hidden = Boolean(view);
  byId("nothing").textContent = `No commits of ${name} in this period (${period.label}).`;
  if (view) {
    // Charts that were hidden while the window changed do not know how wide they are.
    dispatchEvent(new Event("resize"));
    const context = { view, months: monthsOf(repository, period) };
    numbers(context);
    for (const list of lists) rank(list, view);
    for (const chart of charts) await draw(chart, shows[chart.id](context));
  }
  byId("said").textContent = `${name}, ${period.label}: ${counted(view ? view.commits : 0, "commit")}.`;
  main.setAttribute("aria-busy", "false");
}

function day(iso) {
  return new Intl.DateTimeFormat("en", { dateStyle: "long", timeZone: "UTC" }).format(new Date(iso));
}

// The choices are in the address too, so that a view can be kept and sent on. One is made after the other.

let turn = Promise.resolve();

function chosen() {
  const address = new URLSearchParams({ repository: choice.repository.value, period: choice.period.value });
  history.replaceState(null, "", `#${address}`);
  turn = turn.then(show);
}

function remembered() {
  const address = new URLSearchParams(location.hash.slice(1));
  for (const [name, select] of Object.entries(choice)) {
    if ([...select.options].some((option) => option.value === address.get(name))) select.value = address.get(name);
  }
}

remembered();
for (const select of Object.values(choice)) select.addEventListener("change", chosen);
addEventListener("hashchange", () => { remembered(); turn = turn.then(show); });
turn = turn.then(show);
