// One conversation: what either side said and did, turn by turn, with what it earned.

const LONG = 1500; // Characters of a text that are shown at once.
const SIDES = { agent: "agent", user: "user" };

const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(Math.abs(value) < 0.0995 ? 3 : 2);
const number = (value) => Number(value).toLocaleString("en", { maximumFractionDigits: 3 });

// JSON with line breaks and indents, token by token: no number is rounded. Null for what is not an object or list.
function spread(text) {
  const trimmed = text.trim();
  if (!/^[[{]/.test(trimmed)) return null;
  try {
    JSON.parse(trimmed);
  } catch {
    return null;
  }
  let out = "";
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [token] of trimmed.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/g)) {
    if (token === "{" || token === "[") { depth++; out += token + line(); }
    else if (token === "}" || token === "]") { depth--; out = /[[{]\s*$/.test(out.slice(-2 * depth - 8)) ? out.trimEnd() + token : out + line() + token; }
    else if (token === ",") out += token + line();
    else out += token === ":" ? ": " : token;
  }
  return out;
}

// A text, of which the rest is shown on demand if it is long.
function longText(node, text) {
  if (text.length <= LONG) {
    node.append(text);
    return node;
  }
  const unfold = make("button", { type: "button", class: "unfold" }, `Show all ${text.length.toLocaleString("en")} characters`);
  unfold.addEventListener("click", () => node.replaceChildren(...[...node.children].filter((child) => child !== unfold), text));
  node.append(text.slice(0, LONG) + "…", unfold);
  return node;
}

function result(item) {
  if (item.result === undefined) return make("pre", { class: "quiet" }, "no result");
  const text = item.result;
  const short = text.length <= 320 && text.split("\n").length <= 7;
  if (short || item.error) return longText(make("pre"), text === "" ? "(empty)" : text);
  const details = make("details", {}, make("summary", {}, text.slice(0, 200).replace(/\s+/g, " ")));
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(longText(make("pre"), spread(text) ?? text));
  });
  return details;
}

function shownItem(item, side) {
  if (item.text !== undefined) {
    const who = make("span", { class: "who" }, SIDES[side]);
    return longText(make("div", { class: `item bubble ${side}` }, who), item.text);
  }
  const code = make("code", {}, make("b", {}, item.name), "(");
  item.arguments.forEach(([name, value], place) => code.append(place ? ", " : "", make("span", {}, name + "="), value));
  code.append(")");
  const flag = item.error ? make("span", { class: "flag" }, "failed") : null;
  const who = make("span", { class: "who" }, side === "user" ? "user's own tool" : "agent's tool");
  return make("div", { class: `item call ${side}${item.error ? " error" : ""}` }, flag, who, code, result(item));
}

function gutter(turn, phi) {
  const node = make("div", { class: "gutter" }, make("b", {}, turn.number ? `Turn ${turn.number}` : "Start"));
  const after = phi && phi[turn.number];
  if (after !== null && after !== undefined) {
    const level = make("span", { class: "level", "aria-hidden": "true" }, make("i"));
    level.firstChild.style.setProperty("--phi", 100 * after + "%");
    node.append(make("span", {}, `Φ ${after.toFixed(2)} `));
    const change = turn.number ? after - phi[turn.number - 1] : 0;
    if (Math.abs(change) > 5e-7) node.append(make("span", { class: change > 0 ? "gain" : "loss" }, signed(change)));
    node.append(level);
  }
  for (const [term, amount] of Object.entries(turn.ledger)) {
    if (amount && !(phi && (term === "progress" || term === "potential"))) node.append(make("div", {}, `${term} ${signed(amount)}`));
  }
  return node;
}

function shownTurn(turn, phi) {
  const said = make("div", { class: "said" }, ...turn.agent.map((item) => shownItem(item, "agent")), ...turn.user.map((item) => shownItem(item, "user")));
  return make("div", { class: "turn", id: `turn-${turn.number}`, tabindex: "-1" }, gutter(turn, phi), said);
}

function goToTurn(turn) {
  const node = byId(`turn-${turn}`);
  if (!node) return;
  for (const lit of document.querySelectorAll(".turn.lit")) lit.classList.remove("lit");
  node.classList.add("lit");
  node.scrollIntoView({ block: "start" });
  node.focus({ preventScroll: true });
}

const toTurn = (turn) => make("button", { type: "button", class: "to-turn", onclick: () => goToTurn(turn) }, turn ? `turn ${turn}` : "start");

// Who changed something in a turn, as far as its calls tell.
function moverOf(turn) {
  if (turn.user.some((item) => item.name)) return "by-user";
  return turn.agent.some((item) => item.name) ? "by-agent" : "";
}

function phiChart(data) {
  const { phi, turns } = data;
  const [width, height, left] = [280, 96, 22];
  const x = (turn) => left + ((width - left - 6) * turn) / Math.max(phi.length - 1, 1);
  const y = (value) => 6 + (height - 24) * (1 - value);
  const chart = make("svg", { class: "phi", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Φ from ${phi[0].toFixed(2)} to ${phi.at(-1).toFixed(2)} in ${phi.length - 1} turns` });
  for (const value of [0, 0.5, 1]) {
    chart.append(make("line", { class: "grid-line", x1: left, x2: width, y1: y(value), y2: y(value) }), make("text", { x: left - 5, y: y(value) + 3, "text-anchor": "end" }, String(value)));
  }
  let path = `M${x(0)} ${y(phi[0])}`;
  for (let turn = 1; turn < phi.length; turn++) path += `H${x(turn)}V${y(phi[turn])}`;
  chart.append(make("path", { class: "area", d: `${path}V${y(0)}H${x(0)}Z` }), make("path", { class: "step", d: path }));
  const size = phi.length > 40 ? 2 : 3.4;
  for (const turn of turns) {
    const value = phi[turn.number];
    if (value === undefined) continue;
    const change = turn.number ? value - phi[turn.number - 1] : 0;
    const moved = Math.abs(change) > 5e-7;
    const says = `${turn.number ? "turn " + turn.number : "start"}: Φ ${value.toFixed(2)}${moved ? ", " + signed(change) : ""}`;
    chart.append(make("circle", { class: moved ? moverOf(turn) : "", cx: x(turn.number), cy: y(value), r: moved ? size + 0.8 : size * 0.6, onclick: () => goToTurn(turn.number) }, make("title", {}, says)));
  }
  chart.append(make("text", { x: x(0), y: height - 2 }, "0"), make("text", { x: width - 6, y: height - 2, "text-anchor": "end" }, `turn ${phi.length - 1}`));
  return chart;
}

function phiPart(data, i) {
  const part = make("section", {}, make("h2", {}, "Φ", make("small", {}, "partial score")));
  if (data.phi) {
    const key = make("div", { class: "phi-key" }, make("span", {}, make("i", { class: "dot by-agent" }), "moved by the agent's call"), make("span", {}, make("i", { class: "dot by-user" }), "in a turn with the user's call"));
    part.append(phiChart(data), key, make("p", {}, "Read back from the ledger: each turn's amount, over α, added up to the partial score at the end."));
  } else {
    part.append(make("p", {}, `${index.attempts.phi[i].toFixed(2)} at the end. The ledger of this attempt does not tell it turn by turn: only the rewards progress and potential do, in a domain whose α is known.`));
  }
  return part;
}

const KINDS = { action: "expected action", communicate: "to be said", assertion: "assertion", database: "database as expected", unexpected: "unexpected writes" };

// How many of the checks are met that count for the official reward; of all, where it is not known which do.
function tally(data) {
  const counted = data.checks.filter((check) => check.counts !== false);
  return `${counted.filter((check) => check.met).length} of ${counted.length}`;
}

function checksPart(data) {
  const items = data.checks.map(({ kind, name, met, turn, counts }) => {
    const text = make("span", {}, KINDS[kind] + (kind === "unexpected" ? `: ${name}` : ""));
    if (counts === false) text.append(make("small", {}, kind === "unexpected" || kind === "action" ? " for Φ" : " not counted"));
    const state = met ? "yes" : counts === false ? "quiet" : "no";
    const mark = make("span", { class: state, role: "img", "aria-label": met ? "met" : "not met" }, met ? "✓" : "✕");
    const about = name !== null && kind !== "unexpected" ? make("span", { class: "mono" }, name) : null;
    return make("li", {}, mark, text, turn === null ? make("span") : toTurn(turn), about);
  });
  const part = make("section", {}, make("h2", {}, "Checks at the end", make("small", {}, `${tally(data)} that count`)));
  part.append(items.length ? make("ul", { class: "checks" }, ...items) : make("p", {}, "Nothing was checked."));
  if (data.checks.some((check) => check.name === null && check.kind !== "database")) part.append(make("p", {}, "They have no names here, since these tasks are not at hand."));
  return part;
}

function deedsPart(data) {
  const deeds = data.turns.flatMap((turn) => turn.user.filter((item) => item.name).map((item) => make("li", {}, toTurn(turn.number), make("span", { class: "mono" }, item.name + (item.error ? " (failed)" : "")))));
  if (!deeds.length) return null;
  return make("section", {}, make("h2", {}, "What the user did", make("small", {}, "and because of which turn")), make("ul", { class: "deeds" }, ...deeds));
}

function taskPart(data) {
  if (!data.task) return null;
  const told = [data.task.scenario, data.task.ticket].filter(Boolean).join("\n\n");
  return make("section", {}, make("details", {}, make("summary", {}, "What the user was told"), make("div", { class: "told" }, told)));
}

function usagePart(data, i) {
  const { reward, errors } = index.attempts;
  const rows = [["reward", number(reward[i])], ["messages", data.steps], ["failed calls", errors[i]], ["unreadable actions", data.malformed], ["calls of the user's tools", data.violations], ["seed", data.seed], ["revision", data.revision]];
  for (const side of ["agent", "user"]) {
    const usage = data.usage[side];
    if (usage.calls) rows.push([`${side}'s tokens`, `${number(usage.prompt_tokens)} + ${number(usage.completion_tokens)}`]);
    if (usage.cost) rows.push([`${side}'s cost`, `$${number(usage.cost)}`]);
  }
  if (data.answer !== null) rows.push(["answer", data.answer]);
  const list = rows.map(([name, value]) => make("li", {}, make("span", {}, name), make("span", { class: "mono" }, String(value))));
  return make("section", {}, make("details", {}, make("summary", {}, "More numbers"), make("ul", { class: "deeds" }, ...list)));
}

function verdictsPart(data) {
  if (!data.verdicts.length) return null;
  return make("section", {}, make("h2", {}, "What the judge said"), ...data.verdicts.map((verdict) => make("p", { class: "mono" }, verdict)));
}

// The attempts at the same task, by run.
function siblings(i) {
  const task = index.attempts.task[i];
  const rows = index.runs.map((run, runNumber) => {
    const cells = [];
    for (let other = 0; other < count(); other++) {
      if (index.attempts.task[other] === task && index.attempts.run[other] === runNumber) cells.push(cell(other, other === i));
    }
    return cells.length ? make("div", {}, make("span", {}, run), make("div", { class: "strip" }, ...cells)) : null;
  });
  return make("div", { class: "siblings", role: "group", "aria-label": "Attempts at this task" }, ...rows);
}

function shownConversation(data, i, go) {
  const { trial, turns, phi } = index.attempts;
  const outcome = outcomeOf(i);
  const step = (by, text, label) => make("button", { type: "button", onclick: () => go(by), "aria-label": label, title: label }, text);
  const crumbs = make("div", { class: "crumbs" },
    make("a", { href: "#/" + query(), id: "back" }, "← Attempts"), make("span", {}, `${runOf(i)} · ${domainOf(i)} · attempt ${trial[i]}`),
    make("span", { class: "go" }, step(-1, "↑ Previous", "Previous attempt (k)"), step(1, "↓ Next", "Next attempt (j)"), make("button", { type: "button", id: "copy" }, "Copy link")));
  const facts = make("p", { class: "facts" }, make("span", { class: "badge " + outcome }, outcome === "ungraded" ? "not graded" : outcome), make("span", {}, "ended by ", make("b", {}, endOf(i))),
    make("span", {}, make("b", {}, turns[i]), turns[i] === 1 ? " turn" : " turns"), make("span", {}, "Φ ", make("b", {}, phi[i].toFixed(2))), make("span", {}, "reward ", make("b", {}, number(index.attempts.reward[i]))),
    data.checks.length ? make("span", {}, "checks ", make("b", {}, tally(data))) : "");
  const top = make("div", { class: "top" }, crumbs, make("h1", { tabindex: "-1" }, make("small", {}, "task "), taskOf(i)[1]), facts, siblings(i));
  if (data.error) top.append(make("p", { class: "problem" }, data.error));
  if (data.ungraded && data.ungraded.length) top.append(make("p", { class: "problem" }, `Not graded: ${data.ungraded.join(", ")}.`));
  const talk = make("div", { class: "turns" }, make("div", { class: "lanes", "aria-hidden": "true" }, make("span", { class: "agent" }, "agent and its tools"), make("span", { class: "user" }, "user and their own tools")),
    ...data.turns.map((turn) => shownTurn(turn, data.phi)));
  if (!data.turns.length) talk.append(make("p", { class: "empty" }, "Nothing was said."));
  talk.append(make("div", { class: "over" }, `Ended by ${endOf(i)}. `, make("span", { class: "keys" }, make("kbd", {}, "j"), " next, ", make("kbd", {}, "k"), " previous, ", make("kbd", {}, "Esc"), " back")));
  const aside = make("aside", { class: "aside", "aria-label": "About this attempt" }, phiPart(data, i), checksPart(data), deedsPart(data), taskPart(data), verdictsPart(data), usagePart(data, i));
  return [top, make("div", { class: "reading" }, talk, aside)];
}
