// Which part of the page is shown, the theme, and news of a run that goes on.

const overview = byId("overview");
const reader = byId("conversation");
let current = null; // The address of the open conversation.
let scrolled = 0;

const root = document.documentElement;

// A browser may keep nothing for a file; a choice then lasts as long as the page.
function stored(...theme) {
  try {
    return theme.length ? localStorage.setItem("tau2-gym-theme", theme[0]) : localStorage.getItem("tau2-gym-theme");
  } catch {
    return null;
  }
}

byId("theme").addEventListener("click", () => {
  const before = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = before === "dark" ? "light" : "dark";
  stored(root.dataset.theme);
});

async function show(address) {
  const i = addresses.get(address);
  if (overview.hidden === false) scrolled = scrollY;
  current = address;
  let nodes;
  if (i === undefined) {
    nodes = [make("p", { class: "empty absent" }, "This page has no such attempt. ", make("a", { href: "#/" + query() }, "All attempts"))];
  } else {
    try {
      const data = await conversation(i);
      if (current !== address) return;
      nodes = shownConversation(data, i, go);
    } catch (error) {
      nodes = [make("p", { class: "empty" }, `This conversation cannot be shown: ${error.message}. `, make("a", { href: "#/" + query() }, "All attempts"))];
    }
  }
  reader.replaceChildren(...nodes);
  overview.hidden = true;
  reader.hidden = false;
  scrollTo({ top: 0, behavior: "instant" });
  const heading = reader.querySelector("h1") || reader;
  heading.focus({ preventScroll: true });
}

function hide(section) {
  const from = current === null ? undefined : addresses.get(current);
  const wasOpen = !reader.hidden;
  current = null;
  reader.hidden = true;
  reader.replaceChildren();
  overview.hidden = false;
  if (wasOpen) {
    if (from !== undefined) focusAttempt(from);
    scrollTo({ top: scrolled, behavior: "instant" });
  }
  if (section && (!wasOpen || section !== "attempts")) {
    const target = byId(section);
    if (target) target.scrollIntoView();
  }
}

let gridFor = null; // What the grid was made for.

function route() {
  const { attempt, section } = readAddress();
  markFilters();
  const wanted = query();
  if (gridFor !== wanted) {
    gridFor = wanted;
    showGrid();
  }
  if (attempt) show(attempt);
  else hide(section);
}

function go(by) {
  const order = inOrder();
  const next = order[order.indexOf(addresses.get(current)) + by];
  if (next !== undefined) location.replace(linkTo(next));
}

document.addEventListener("keydown", (event) => {
  if (reader.hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (event.key === "j") go(1);
  else if (event.key === "k") go(-1);
  else if (event.key === "Escape") location.hash = "/" + query();
});

reader.addEventListener("click", async (event) => {
  if (event.target.id !== "copy") return;
  try {
    await navigator.clipboard.writeText(location.href);
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "The address bar has it";
  }
});

// The numbers are made by the server, less often than there are new attempts.
async function newNumbers() {
  const answer = await fetch("./", { cache: "no-store" });
  if (!answer.ok) throw new Error(String(answer.status));
  // The server's own page, with all data in it escaped; a document that is only parsed runs nothing.
  const made = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("numbers");
  const shown = byId("numbers");
  if (made.dataset.version === shown.dataset.version) return;
  const before = byId("attempts").getBoundingClientRect().top;
  const open = [...shown.querySelectorAll("details")].map((details) => details.open);
  shown.replaceWith(document.importNode(made, true));
  byId("numbers").querySelectorAll("details").forEach((details, place) => { details.open = open[place] ?? details.open; });
  // Whoever reads the grid below stays where they are.
  if (before < innerHeight / 2) scrollBy({ top: byId("attempts").getBoundingClientRect().top - before, behavior: "instant" });
}

function newAttempts(newer) {
  const held = grid.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const top = scrollY;
  takeIndex(newer);
  showFilters();
  showGrid();
  const i = held && addresses.get(held.slice(1).split("?")[0]);
  if (i !== null && i !== undefined) focusAttempt(i);
  if (!overview.hidden) scrollTo({ top, behavior: "instant" });
  // An attempt that was asked for before it had ended.
  if (current !== null && reader.querySelector(".absent") && addresses.has(current)) show(current);
}

async function news() {
  const badge = byId("live");
  try {
    const answer = await fetch(`index.json?version=${index.version}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    if (answer.status === 200) newAttempts(await answer.json());
    if (byId("numbers").dataset.version !== String(index.version)) await newNumbers();
    badge.classList.toggle("off", !/^(live|waiting)/.test(index.status));
    badge.textContent = badge.title = index.status;
  } catch {
    badge.classList.add("off");
    badge.textContent = "the server has stopped";
  }
  setTimeout(news, 2000);
}

if (["light", "dark"].includes(stored())) root.dataset.theme = stored();
takeIndex(index);
readAddress();
showFilters();
addEventListener("hashchange", route);
route();
if (LIVE) news();
