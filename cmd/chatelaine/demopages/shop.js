// The sample shop's bubble: what an integrator writes around visitor.js.
const byId = (id) => document.getElementById(id);
const bubble = byId("bubble");
const issuer = bubble.dataset.issuer;
const { Chatelaine } = await import(issuer + "/static/visitor.js");

let chat;
let stream; // ends the open one

// The shop's server signs for whom it knows; for whom it doesn't it says nothing.
async function identity() {
  const answer = await fetch("/identity");
  if (!answer.ok) throw new Error("the shop does not say who it is");
  return (await answer.json()).jwt;
}

function line({ from, text }) {
  const li = document.createElement("li");
  li.className = from;
  li.textContent = text;
  byId("said").append(li);
  byId("said").scrollTop = byId("said").scrollHeight;
}

function problem(text) {
  byId("problem").hidden = !text;
  byId("problem").textContent = text || "";
}

const words = { anonymous: "an anonymous visitor", signed: "signed by the shop", federated: "signed in with Acme Club" };

function hello(said) {
  byId("who").textContent = "The backend talks to " + (said.name ? `${said.name} (${said.email}), ${words[said.assurance]}` : words[said.assurance]);
  byId("who").dataset.assurance = said.assurance;
  byId("who").dataset.visitor = said.visitor;
  byId("said").replaceChildren();
  said.lines.forEach(line);
  byId("sign-in").hidden = said.assurance === "federated";
  byId("sign-out").hidden = said.assurance !== "federated";
}

// listen holds one stream, for one token; the next token brings the next.
async function listen(token) {
  stream?.abort();
  const mine = stream = new AbortController();
  try {
    const answer = await fetch("/chat/stream", { headers: { Authorization: "Bearer " + token }, signal: mine.signal });
    if (!answer.ok) throw new Error("the stream was refused: " + answer.status);
    let rest = "";
    for await (const piece of pieces(answer.body.pipeThrough(new TextDecoderStream()).getReader())) {
      const events = (rest + piece).split("\n\n");
      rest = events.pop();
      for (const event of events) heard(/^event: (.*)\ndata: (.*)$/.exec(event));
    }
  } catch (err) {
    if (mine.signal.aborted) return;
    console.warn(err.message);
  }
  if (mine === stream) again(mine);
}

async function* pieces(reader) {
  for (let got = await reader.read(); !got.done; got = await reader.read()) yield got.value;
}

// again asks for another token: one who is banned gets none, and onHidden is told.
async function again(mine) {
  await new Promise((go) => setTimeout(go, 300));
  if (mine === stream && !bubble.hidden) await chat.token({ fresh: true }).catch((err) => problem("The chat is not there now: " + err.code));
}

function heard([, event, data]) {
  const said = JSON.parse(data);
  if (event === "hello") hello(said);
  if (event === "line") line(said);
  if (event === "ended" && !(said.detail || "").startsWith("visitor_")) line({ from: "note", text: "The backend closed the socket: " + (said.detail || said.reason) });
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { Authorization: "Bearer " + await chat.token() } });
  const challenge = answer.headers.get("WWW-Authenticate") || "";
  if (challenge.includes("insufficient_user_authentication")) throw new StepUp();
  if (!answer.ok) throw new Error("The chat has answered " + answer.status);
  return answer;
}

// StepUp is RFC 9470's: the token is good, and not enough for this.
class StepUp extends Error {}

async function seeOrders() {
  problem("");
  try {
    const { orders } = await (await ask("/chat/orders")).json();
    orders.forEach((text) => line({ from: "note", text: "Order: " + text }));
  } catch (err) {
    problem(err instanceof StepUp ? "We show orders to those whom we know. Sign in with Acme Club, or log in to the shop." : err.message);
    if (err instanceof StepUp) byId("sign-in").focus();
  }
}

async function signIn() {
  problem("");
  try {
    await chat.signIn({ connection: "club" });
  } catch (err) {
    problem(err.code === "popup_closed" ? "You closed the window before you were signed in." : "Signing in did not work: " + err.code);
  }
}

async function say(event) {
  event.preventDefault();
  problem("");
  const body = new URLSearchParams({ text: byId("text").value });
  try {
    await ask("/chat/say", { method: "POST", body });
    byId("text").value = "";
  } catch (err) {
    problem(err.message);
  }
}

function show(open) {
  byId("chat").hidden = !open;
  byId("open").setAttribute("aria-expanded", String(open));
  (open ? byId("text") : byId("open")).focus();
}

byId("open").addEventListener("click", () => show(byId("chat").hidden));
byId("fold").addEventListener("click", () => show(false));
byId("chat").addEventListener("keydown", (event) => { if (event.key === "Escape") show(false); });
byId("say").addEventListener("submit", say);
byId("orders").addEventListener("click", seeOrders);
byId("sign-in").addEventListener("click", signIn);
byId("sign-out").addEventListener("click", () => chat.signOut().catch((err) => problem(err.code)));
bubble.hidden = false;

try {
  chat = await Chatelaine.start({
    issuer, identity,
    onToken: (token) => listen(token),
    onHidden: () => { stream?.abort(); bubble.hidden = true; },
  });
} catch (err) {
  if (err.code !== "visitor_banned") problem("The chat is not there now: " + err.code);
}
