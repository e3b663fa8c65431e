// The grid of tasks and attempts, and its filters.

const grid = byId("grid");
let lines = [];
let waiting = null; // Lines that have not come near the window yet have no cells.

const LABELS = { task: "Task", run: "Run", domain: "Domain", outcome: "Outcome", end: "Ended by", tool: "Tool called", order: "Order" };
const ORDERS = [["", "as played"], ["hardest", "hardest first"], ["easiest", "easiest first"]];

function options(name) {
  if (name === "order") return ORDERS;
  const values = { run: index.runs, domain: index.domains, outcome: index.outcomes, end: index.ends, tool: index.tools }[name];
  const used = name === "outcome" ? values.filter((_, number) => index.attempts.outcome.includes(number)) : [...values];
  if (name !== "run" && name !== "outcome") used.sort();
  return [["", "all"], ...used.map((value) => [value, value])];
}

function showFilters() {
  const form = byId("filters");
  const focused = document.activeElement && document.activeElement.name;
  const fields = FILTERS.filter((name) => name !== "run" || index.runs.length > 1).map((name) => {
    const changed = (event) => setFilter(name, event.target.value);
    const input = name === "task"
      ? make("input", { type: "search", name, placeholder: "part of its id", autocomplete: "off", spellcheck: "false", oninput: changed })
      : make("select", { name, onchange: changed }, ...options(name).map(([value, text]) => make("option", { value }, text)));
    return make("label", {}, LABELS[name], input);
  });
  form.replaceChildren(...fields);
  markFilters();
  if (focused && form.elements[focused]) form.elements[focused].focus({ preventScroll: true });
}

function markFilters() {
  const form = byId("filters");
  for (const name of FILTERS) {
    const field = form.elements[name];
    if (!field) continue;
    if (field.value !== filters[name]) field.value = filters[name];
    if (name !== "order") field.classList.toggle("active", filters[name] !== "");
  }
  byId("clear").hidden = FILTERS.every((name) => name === "order" || !filters[name]);
}

function setFilter(name, value) {
  filters[name] = value;
  history.replaceState(null, "", "#/" + query());
  markFilters();
  showGrid();
}

byId("clear").addEventListener("click", () => {
  for (const name of FILTERS) if (name !== "order") filters[name] = "";
  history.replaceState(null, "", "#/" + query());
  markFilters();
  showGrid();
});

function showGrid() {
  const tasks = chosenTasks();
  const shown = tasks.reduce((sum, { attempts }) => sum + attempts.length, 0);
  const all = count().toLocaleString("en");
  byId("count").textContent = shown === count() ? `${all} attempts.` : `${shown.toLocaleString("en")} of ${all} attempts.`;
  if (waiting) waiting.disconnect();
  waiting = new IntersectionObserver(arrived, { rootMargin: "800px" });
  const several = index.runs.length > 1;
  grid.style.setProperty("--runs", index.runs.length);
  grid.classList.toggle("many", index.runs.length > 3);
  const nodes = [];
  let domain = null;
  lines = tasks.map(({ task, attempts }, number) => {
    if (index.tasks[task][0] !== domain) {
      domain = index.tasks[task][0];
      const passed = tasks.filter((each) => index.tasks[each.task][0] === domain).flatMap((each) => each.attempts);
      const solved = passed.filter((i) => outcomeOf(i) === "passed").length;
      nodes.push(make("h3", {}, index.domains[domain], make("small", {}, `${solved.toLocaleString("en")} of ${passed.length.toLocaleString("en")} passed`)));
      if (several) {
        nodes.push(make("div", { class: "columns" }, make("span", { class: "task" }, ""), make("div", { class: "strips" }, ...index.runs.map((run) => make("span", {}, run)))));
      }
    }
    const id = index.tasks[task][1];
    const strips = index.runs.map(() => make("div", { class: "strip" }));
    const node = make("div", { class: "line" }, make("span", { class: "task", title: id }, id), make("div", { class: "strips" }, ...strips));
    node.dataset.line = number;
    nodes.push(node);
    waiting.observe(node);
    return { node, strips, attempts, cells: null };
  });
  if (!tasks.length) {
    nodes.push(make("p", { class: "empty" }, count() ? "No attempt fits these filters." : "There are no attempts yet."));
  }
  grid.replaceChildren(...nodes);
  const first = lines[0] && fill(lines[0])[0];
  if (first) first.tabIndex = 0;
}

function arrived(entries) {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    waiting.unobserve(target);
    fill(lines[target.dataset.line]);
  }
}

function fill(line) {
  if (line.cells) return line.cells;
  line.cells = line.attempts.map((i) => {
    const node = cell(i);
    node.tabIndex = -1;
    line.strips[index.attempts.run[i]].append(node);
    return node;
  });
  return line.cells;
}

// One cell can be reached with the tab key; arrows lead from it to the others.
function moveTo(node) {
  for (const old of grid.querySelectorAll('.cell[tabindex="0"]')) old.tabIndex = -1;
  node.tabIndex = 0;
  node.focus();
}

grid.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const at = event.target.closest(".cell") && event.target.closest(".line");
  if (!step || !at) return;
  event.preventDefault();
  let row = Number(at.dataset.line);
  let column = lines[row].cells.indexOf(event.target) + step[1];
  row += step[0];
  if (column < 0) column = row > 0 ? fill(lines[--row]).length - 1 : 0;
  else if (step[1] && column >= lines[row].cells.length) [row, column] = [row + 1, 0];
  if (row < 0 || row >= lines.length) return;
  const cells = fill(lines[row]);
  moveTo(cells[Math.min(column, cells.length - 1)]);
});

// The attempts in the order of the grid, for going from one to the next.
const inOrder = () => lines.flatMap((line) => line.attempts);

function focusAttempt(i) {
  const line = lines.find(({ attempts }) => attempts.includes(i));
  if (line) moveTo(fill(line)[line.attempts.indexOf(i)]);
}
