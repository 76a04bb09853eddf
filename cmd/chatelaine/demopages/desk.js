// The sample desk's page: one socket, one list of actions.
"use strict";
const byId = (id) => document.getElementById(id);

function chips(list, values) {
  list.replaceChildren(...(values || []).map((text) => {
    const li = document.createElement("li");
    li.textContent = text;
    return li;
  }));
}

function note(text, kind) {
  const li = document.createElement("li");
  li.className = kind || "";
  li.textContent = kind === "event" ? new Date().toLocaleTimeString() + "  " + text : text;
  byId("log").append(li);
  byId("log").scrollTop = byId("log").scrollHeight;
}

const reasons = {
  sign_out: "you signed out",
  ended_by_operator: "an administrator ended your sessions",
  roles_changed: "your roles changed",
  deactivated: "your account was deactivated",
  became_administrator: "you are an administrator now: sign in again",
  password_set: "your password was changed",
};

function connect() {
  byId("state").textContent = "connecting…";
  const socket = new EventSource("/socket");
  socket.addEventListener("hello", (e) => {
    const hello = JSON.parse(e.data);
    byId("state").textContent = "open";
    byId("state").className = "state yes";
    chips(byId("roles"), hello.roles);
    chips(byId("entitlements"), hello.entitlements);
    note("socket open; roles " + (hello.roles || []).join(", "), "event");
  });
  socket.addEventListener("message", (e) => note(JSON.parse(e.data).text));
  socket.addEventListener("ended", (e) => {
    const end = JSON.parse(e.data);
    socket.close();
    byId("state").textContent = "closed by the chat backend";
    byId("state").className = "state no";
    note("the backend closed the socket: " + (reasons[end.detail] || end.detail || end.reason), "event");
    setTimeout(again, 700);
  });
  socket.onerror = () => {
    socket.close();
    byId("state").textContent = "closed";
    byId("state").className = "state no";
    setTimeout(again, 2000);
  };
}

// again asks for a new token behind the scenes: a lost role gives a lesser one,
// an ended session gives none.
async function again() {
  let answer;
  try {
    answer = await fetch("/me");
  } catch {
    byId("state").textContent = "the demo does not answer";
    setTimeout(again, 3000);
    return;
  }
  if (answer.status === 401) {
    byId("signed-out").hidden = false;
    document.querySelectorAll("button[data-action]").forEach((b) => { b.disabled = true; });
    note("no new token: the session is over", "event");
    return;
  }
  note("a new token was issued", "event");
  connect();
}

function line(title, answer) {
  const p = document.createElement("p");
  const verdict = document.createElement("span");
  verdict.className = answer.allowed ? "yes" : "no";
  verdict.textContent = answer.allowed ? "allowed" : "refused: " + answer.reason;
  p.append(title + " ", verdict);
  return p;
}

async function attempt(button) {
  const out = byId("answer");
  const answer = await fetch("/try", { method: "POST", body: new URLSearchParams(button.dataset) });
  out.hidden = false;
  if (!answer.ok) {
    out.textContent = "The desk did not ask: " + (await answer.text());
    return;
  }
  const v = await answer.json();
  const title = document.createElement("p");
  const action = document.createElement("code");
  action.textContent = v.action;
  title.append(action, " from " + v.from);
  out.replaceChildren(title, line("By the token alone:", v.local), line("By asking Chatelaine:", v.live));
}

document.querySelectorAll("button[data-action]").forEach((b) => b.addEventListener("click", () => attempt(b)));
connect();

// Who chats at the shop, looked up every second.
function person(v, mayBan) {
  const li = document.createElement("li");
  const who = document.createElement("span");
  who.textContent = `${v.name || "Visitor " + v.visitor.slice(-6)}, ${v.assurance}${v.ban ? ", banned" : v.here ? "" : ", gone"}`;
  const last = document.createElement("span");
  last.className = "soft";
  last.textContent = v.last;
  const id = document.createElement("code");
  id.className = "soft";
  id.textContent = v.visitor;
  li.append(who, last, id);
  if (mayBan) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = v.ban ? "" : "danger";
    button.textContent = v.ban ? "Lift the ban" : "Ban";
    button.dataset.visitor = v.visitor;
    button.dataset.lift = v.ban;
    button.setAttribute("aria-label", `${button.textContent}: ${who.textContent}`);
    button.addEventListener("click", () => ban(button));
    li.append(button);
  }
  return li;
}

async function ban(button) {
  const answer = await fetch("/visitors/ban", { method: "POST", body: new URLSearchParams(button.dataset) });
  byId("visitors-problem").hidden = answer.ok;
  if (!answer.ok) byId("visitors-problem").textContent = await answer.text();
}

let shown = "";
async function look() {
  try {
    const answer = await fetch("/visitors");
    if (answer.status === 401) return;
    const text = answer.ok ? await answer.text() : shown;
    if (text !== shown) { // what has not changed keeps its focus
      const said = JSON.parse(text);
      byId("visitors").replaceChildren(...said.visitors.map((v) => person(v, said.may_ban)));
      shown = text;
    }
  } catch { /* the demo does not answer: the next time */ }
  setTimeout(look, 1000);
}
look();
