// The attempts, the filters, and addresses of both: what the rest of the page asks.

const byId = (id) => document.getElementById(id);

// An element with attributes and children. Data become text, never markup.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "circle", "line", "text", "title"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const FILTERS = ["task", "run", "domain", "outcome", "end", "tool", "order"];
const filters = Object.fromEntries(FILTERS.map((name) => [name, ""]));

let index = JSON.parse(byId("index").textContent);
let addresses = new Map();

const count = () => index.attempts.run.length;
const taskOf = (i) => index.tasks[index.attempts.task[i]];
const domainOf = (i) => index.domains[taskOf(i)[0]];
const runOf = (i) => index.runs[index.attempts.run[i]];
const outcomeOf = (i) => index.outcomes[index.attempts.outcome[i]];
const endOf = (i) => index.ends[index.attempts.end[i]];

// Where an attempt is found: the part of the address after #.
function addressOf(i) {
  const parts = [runOf(i), index.attempts.trial[i], domainOf(i), taskOf(i)[1]];
  return "/" + parts.map(encodeURIComponent).join("/");
}

function takeIndex(newer) {
  index = newer;
  addresses = new Map();
  for (let i = 0; i < count(); i++) addresses.set(addressOf(i), i);
}

function query() {
  const set = new URLSearchParams();
  for (const name of FILTERS) if (filters[name]) set.set(name, filters[name]);
  const text = set.toString();
  return text ? "?" + text : "";
}

const linkTo = (i) => "#" + addressOf(i) + query();

// What the address says: { attempt, section }, and filters, where it has some.
function readAddress() {
  const hash = location.hash.slice(1);
  if (!hash.startsWith("/")) return { section: hash };
  const [path, search = ""] = hash.split("?", 2);
  const given = new URLSearchParams(search);
  for (const name of FILTERS) filters[name] = given.get(name) || "";
  return path === "/" ? { section: search ? "attempts" : "" } : { attempt: path.split("/").map(encodedAlike).join("/") };
}

// A part of an address as we write it, however a mail program or a person has written it.
function encodedAlike(part) {
  try {
    return encodeURIComponent(decodeURIComponent(part));
  } catch {
    return part;
  }
}

function matches(i) {
  if (filters.run && runOf(i) !== filters.run) return false;
  if (filters.domain && domainOf(i) !== filters.domain) return false;
  if (filters.outcome && outcomeOf(i) !== filters.outcome) return false;
  if (filters.end && endOf(i) !== filters.end) return false;
  if (filters.task && !taskOf(i)[1].toLowerCase().includes(filters.task.toLowerCase())) return false;
  if (filters.tool) {
    const wanted = index.tools.indexOf(filters.tool);
    if (!index.sets[index.attempts.tools[i]].includes(wanted)) return false;
  }
  return true;
}

// The tasks that are left, each with its attempts that are left, in the order chosen.
function chosenTasks() {
  const found = new Map();
  for (let i = 0; i < count(); i++) {
    if (!matches(i)) continue;
    const task = index.attempts.task[i];
    if (!found.has(task)) found.set(task, { task, attempts: [] });
    found.get(task).attempts.push(i);
  }
  const tasks = [...found.values()];
  const solved = ({ attempts }) => attempts.filter((i) => outcomeOf(i) === "passed").length / attempts.length;
  const sign = { hardest: 1, easiest: -1 }[filters.order];
  if (sign) {
    for (const each of tasks) each.solved = solved(each);
    tasks.sort((a, b) => index.tasks[a.task][0] - index.tasks[b.task][0] || sign * (a.solved - b.solved) || a.task - b.task);
  }
  return tasks;
}

// What an attempt came to, in a few words.
function described(i) {
  const { trial, phi, turns } = index.attempts;
  const end = endOf(i);
  return `${runOf(i)}, attempt ${trial[i]}: ${outcomeOf(i)}, ${end}, Φ ${phi[i].toFixed(2)}, ${turns[i]} turns`;
}

function cell(i, here = false) {
  const node = make("a", { class: "cell " + outcomeOf(i), href: linkTo(i), title: described(i), "aria-label": described(i) });
  if (outcomeOf(i) === "failed") node.style.setProperty("--phi", 100 * index.attempts.phi[i] + "%");
  if (here) {
    node.classList.add("here");
    node.setAttribute("aria-current", "true");
  }
  return node;
}
