// Tests of static/visitor.js in node, with a fake issuer and just enough of a
// browser. visitor_test.go puts the client beside this file and runs it.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mock, test } from "node:test";
import { Chatelaine, ChatelaineError } from "./visitor.mjs";

const ISSUER = "https://id.example/acme";
const KEY = "chatelaine:" + ISSUER;

/** A browser: what its tabs share, and the issuer that they talk to. */
class World {
  constructor() {
    this.storage = new MemoryStorage();
    this.session = new MemoryStorage();
    this.requests = [];
    this.ends = []; // sign-outs
    this.good = new Set(); // renewal tokens that have not been used
    this.n = 0;
    this.reply = (body) => this.grant(body);
    this.told = [];
    globalThis.fetch = async (url, init) => {
      const body = JSON.parse(init.body);
      if (String(url) === ISSUER + "/visitors/end") {
        this.ends.push({ init, body });
        return { ok: true, status: 200, headers: new Headers(), json: async () => ({}) };
      }
      this.requests.push({ url: String(url), init, body });
      const { status = 200, json, headers = {} } = await this.reply(body);
      return { ok: status < 400, status, headers: new Headers(headers), json: async () => json };
    };
    globalThis.window = globalThis.self = new Page();
    globalThis.location = { href: "https://shop.example/basket?x=1", hash: "", pathname: "/basket", search: "?x=1" };
    const follow = (link) => { this.went = link.referrerPolicy === "origin" ? link.href : ""; };
    globalThis.document = { body: { append() {} }, addEventListener() {}, createElement: () => ({ click() { follow(this); }, remove() {} }) };
    self.origin = "https://shop.example";
    globalThis.sessionStorage = this.session;
    globalThis.history = { state: { mine: 1 }, replaceState: (state, _, url) => { this.replaced = { state, url }; } };
    Object.assign(globalThis, { screenX: 0, screenY: 0, outerWidth: 1000, outerHeight: 800 });
    const queues = new Map();
    Object.defineProperty(globalThis, "navigator", { configurable: true, value: { locks: {
      request: (name, _, act) => {
        const turn = (queues.get(name) || Promise.resolve()).then(act);
        queues.set(name, turn.catch(() => {}));
        return turn;
      },
    } } });
  }

  grant(body, more = {}) {
    if (body.renew && !this.good.delete(body.renew)) return { status: 400, json: { error: "invalid_grant" } };
    const renew = `r${++this.n}`;
    this.good.add(renew);
    const assurance = body.proof ? "federated" : body.identity ? "signed" : "anonymous";
    return { json: { access_token: `t${this.n}`, token_type: "Bearer", expires_in: 300, visitor_id: "v1", assurance, renew, ...more } };
  }

  start(options = {}) {
    return Chatelaine.start({ issuer: ISSUER, storage: this.storage, onToken: (token, about) => this.told.push([token, about.assurance]), ...options });
  }

  bodies() { return this.requests.map((r) => r.body); }
}

class MemoryStorage {
  map = new Map();
  getItem(key) { return this.map.get(key) ?? null; }
  setItem(key, value) { this.map.set(key, String(value)); }
  removeItem(key) { this.map.delete(key); }
}

/** A window. */
class Page extends EventTarget {
  opened = [];
  open() {
    if (this.blocks) return null;
    const popup = { closed: false, location: { replace: (url) => { popup.url = url; } }, close: () => { popup.closed = true; } };
    this.opened.push(popup);
    return popup;
  }
  say(origin, source, data) { this.dispatchEvent(Object.assign(new Event("message"), { origin, source, data })); }
}

/** Lets promises go on until nothing moves. */
const settle = async () => { for (let i = 0; i < 60; i++) await new Promise((go) => setImmediate(go)); };

/** Waits for what takes its own time, such as a digest. */
const until = async (there) => {
  for (let i = 0; i < 1e6 && !there(); i++) await new Promise((go) => setImmediate(go));
  assert.ok(there(), "it never came");
};

const code = (want) => (err) => err instanceof ChatelaineError && err.code === want;

/** Runs a test with a clock of its own. */
function walk(name, act) {
  test(name, async () => {
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_800_000_000_000 });
    try {
      await act(new World());
    } finally {
      mock.timers.reset();
    }
  });
}

/** Time goes by, second by second. */
async function pass(seconds) {
  for (let i = 0; i < seconds; i++) {
    mock.timers.tick(1000);
    await settle();
  }
}

walk("an anonymous visitor gets a token without cookies", async (w) => {
  const chat = await w.start();
  assert.equal(await chat.token(), "t1");
  assert.deepEqual([chat.visitorId, chat.assurance, chat.signInRequired], ["v1", "anonymous", false]);
  assert.equal(w.requests.length, 1);
  const { url, init, body } = w.requests[0];
  assert.equal(url, ISSUER + "/visitors/start");
  assert.deepEqual([init.method, init.credentials, init.redirect, init.cache], ["POST", "omit", "error", "no-store"]);
  assert.deepEqual(body, {});
  assert.deepEqual(w.told, [["t1", "anonymous"]]);
  chat.stop();
});

walk("a token is renewed quietly before it ends, again and again", async (w) => {
  const chat = await w.start();
  await pass(1200);
  assert.ok(w.requests.length >= 5 && w.requests.length <= 7, `${w.requests.length} requests in 20 minutes`);
  assert.deepEqual(w.bodies()[1], { renew: "r1" });
  assert.deepEqual(w.bodies()[2], { renew: "r2" });
  assert.equal(w.told.length, w.requests.length);
  chat.stop();
  await pass(600);
  assert.equal(w.told.length, w.requests.length);
});

walk("many who ask at once cause one renewal", async (w) => {
  const chat = await w.start();
  const tokens = await Promise.all(Array.from({ length: 20 }, () => chat.token({ fresh: true })));
  assert.deepEqual(new Set(tokens), new Set(["t2"]));
  assert.equal(w.requests.length, 2);
  chat.stop();
});

walk("the visitor of the last time is known, and asked for only when its token ends", async (w) => {
  (await w.start()).stop();
  const again = await w.start();
  assert.equal(await again.token(), "t1");
  assert.equal(w.requests.length, 1);
  again.stop();
  mock.timers.setTime(Date.now() + 400_000);
  const later = await w.start();
  assert.equal(await later.token(), "t2");
  assert.deepEqual(w.bodies()[1], { renew: "r1" });
  assert.deepEqual(w.told.map(([t]) => t), ["t1", "t1", "t2"], "an old token was handed out");
  later.stop();
});

walk("tabs share one renewal token and never use it twice", async (w) => {
  const tabs = await Promise.all([w.start(), w.start(), w.start()]);
  await pass(1500);
  const tokens = await Promise.all(tabs.map((tab) => tab.token()));
  assert.equal(new Set(tokens).size, 1);
  const spent = w.bodies().map((b) => b.renew).filter(Boolean);
  assert.equal(new Set(spent).size, spent.length, "a renewal token was used twice");
  assert.ok(w.requests.length < 10, `${w.requests.length} requests of three tabs in 25 minutes`);
  tabs.forEach((tab) => tab.stop());
});

walk("a renewal token that another tab has just used is replaced by its next", async (w) => {
  const chat = await w.start();
  w.good.delete("r1");
  w.reply = (body) => {
    if (body.renew === "r1") {
      w.storage.setItem(KEY, JSON.stringify({ visitorId: "v1", assurance: "anonymous", renew: "r9", token: "t9", expires: Date.now() + 1000 }));
      w.good.add("r9");
    }
    return w.grant(body);
  };
  assert.equal(await chat.token({ fresh: true }), "t2");
  assert.deepEqual(w.bodies().map((b) => b.renew), [undefined, "r1", "r9"]);
  chat.stop();
});

walk("a renewal token that is of no use any more begins anew, once", async (w) => {
  const chat = await w.start();
  w.good.clear();
  assert.equal(await chat.token({ fresh: true }), "t2");
  assert.deepEqual(w.bodies(), [{}, { renew: "r1" }, {}]);
  w.reply = () => ({ status: 400, json: { error: "invalid_grant" } });
  await assert.rejects(chat.token({ fresh: true }), code("invalid_grant"));
  assert.equal(w.requests.length, 5);
  chat.stop();
});

walk("what can't be used besides the renewal token costs nobody the visitor", async (w) => {
  (await w.start()).stop();
  w.reply = (body) => body.identity ? { status: 400, json: { error: "invalid_grant" } } : w.grant(body);
  await assert.rejects(w.start({ identity: async () => "forged" }), code("invalid_grant"));
  assert.deepEqual(w.bodies().slice(1), [{ identity: "forged", renew: "r1" }, { identity: "forged" }]);
  assert.equal(JSON.parse(w.storage.getItem(KEY)).renew, "r1");
});

walk("a visitor who was away too long for the renewal token is signed in as a new one", async (w) => {
  const chat = await w.start();
  w.good.clear();
  await popup(w, chat);
  assert.deepEqual(w.bodies().slice(1).map((b) => [b.proof, b.renew]), [["c0de", "r1"], ["c0de", undefined]]);
  assert.equal(chat.assurance, "federated");
  chat.stop();
});

walk("an issuer that fails is asked less and less, and again when it is well", async (w) => {
  const chat = await w.start();
  w.reply = () => ({ status: 503, json: {} });
  await pass(900);
  const asked = w.requests.length;
  assert.ok(asked > 8 && asked < 30, `${asked} requests in 15 minutes of failure`);
  await assert.rejects(chat.token(), (err) => code("unavailable")(err) && err.status === 503);
  assert.equal(w.requests.length, asked, "who asks for a token hurries it");
  w.reply = (body) => w.grant(body);
  await pass(61);
  assert.equal(await chat.token(), "t2");
  chat.stop();
});

walk("Retry-After is obeyed", async (w) => {
  const chat = await w.start();
  w.reply = () => ({ status: 429, json: { error: "slow_down" }, headers: { "Retry-After": "500", "X-Request-Id": "q1" } });
  await assert.rejects(chat.token({ fresh: true }), (err) => code("slow_down")(err) && err.retryAfter === 500 && err.requestId === "q1");
  await pass(499);
  assert.equal(w.requests.length, 2);
  await pass(5);
  assert.equal(w.requests.length, 3);
  chat.stop();
});

walk("a start that fails for a moment is tried again, and then given up", async (w) => {
  let bad = 2;
  w.reply = (body) => bad-- > 0 ? { status: 502, json: {} } : w.grant(body);
  let chat;
  w.start().then((c) => { chat = c; });
  await pass(5);
  assert.equal(await chat.token(), "t1");
  chat.stop();
  w.storage.removeItem(KEY);
  w.reply = () => { throw new TypeError("no network"); };
  let failure;
  w.start().catch((err) => { failure = err; });
  await pass(10);
  assert.ok(code("unavailable")(failure));
  const asked = w.requests.length;
  await pass(600);
  assert.equal(w.requests.length, asked);
});

walk("a banned visitor's widget is hidden, and it stays the visitor that is banned", async (w) => {
  const chat = await w.start();
  const hidden = [];
  const other = await w.start({ onHidden: (why) => hidden.push(why.code) });
  w.reply = () => ({ status: 403, json: { error: "access_denied", reason: "visitor_banned" } });
  await assert.rejects(other.token({ fresh: true }), code("visitor_banned"));
  assert.deepEqual(hidden, ["visitor_banned"]);
  const asked = w.requests.length;
  await assert.rejects(other.token(), code("visitor_banned"));
  await assert.rejects(other.signIn({ connection: "shop" }), code("visitor_banned"));
  assert.equal(w.requests.length, asked);
  assert.equal(JSON.parse(w.storage.getItem(KEY)).renew, "r1");
  mock.timers.setTime(Date.now() + 400_000);
  await assert.rejects(w.start({ onHidden: (why) => hidden.push(why.code) }), code("visitor_banned"));
  assert.equal(w.bodies().at(-1).renew, "r1");
  assert.equal(hidden.length, 2);
  chat.stop();
});

walk("where visitors must sign in, a start has no token and doesn't ask again", async (w) => {
  w.reply = (body) => body.proof ? w.grant(body) : { status: 403, json: { error: "access_denied", reason: "sign_in_required" } };
  const chat = await w.start();
  assert.deepEqual([chat.signInRequired, chat.visitorId, chat.assurance], [true, "", ""]);
  await assert.rejects(chat.token(), code("sign_in_required"));
  await pass(600);
  assert.equal(w.requests.length, 1);
  await popup(w, chat);
  assert.deepEqual([chat.signInRequired, chat.assurance, await chat.token()], [false, "federated", "t1"]);
  chat.stop();
});

/** Signs in in a pop-up, as a good issuer does. */
async function popup(w, chat, act = () => {}) {
  const done = chat.signIn({ connection: "shop login" });
  const opened = window.opened.at(-1);
  await until(() => opened.url);
  const url = new URL(opened.url);
  await act(opened, url);
  window.say("https://id.example", opened, { type: "chatelaine:signed-in", code: "c0de", state: url.searchParams.get("state") });
  await done;
  return { opened, url };
}

walk("signing in in a pop-up hears one origin, window and state, and proves the challenge", async (w) => {
  const chat = await w.start();
  const { opened, url } = await popup(w, chat, async (source, address) => {
    const state = address.searchParams.get("state");
    const good = { type: "chatelaine:signed-in", code: "evil", state };
    window.say("https://evil.example", source, good);
    window.say("https://id.example.evil.example", source, good);
    window.say("null", source, good);
    window.say("https://id.example", {}, good);
    window.say("https://id.example", null, good);
    for (const data of [null, "chatelaine:signed-in", 7, { ...good, state: "x" }, { ...good, state: undefined }, { ...good, type: "other" }, { ...good, code: { toString: () => "evil" } }]) window.say("https://id.example", source, data);
    await settle();
    assert.equal(w.requests.length, 1, "somebody else's message was heard");
  });
  assert.equal(url.origin + url.pathname, ISSUER + "/federation/shop%20login/start");
  const q = Object.fromEntries(url.searchParams);
  assert.deepEqual([q.visitor, q.origin, q.code_challenge_method], ["popup", "https://shop.example", "S256"]);
  assert.match(q.state, /^[A-Za-z0-9_-]{22}$/);
  const { proof, code_verifier: verifier, renew } = w.bodies()[1];
  assert.deepEqual([proof, renew], ["c0de", "r1"]);
  assert.match(verifier, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(createHash("sha256").update(verifier).digest("base64url"), q.code_challenge);
  assert.ok(opened.closed);
  assert.deepEqual([chat.assurance, await chat.token()], ["federated", "t2"]);
  chat.stop();
});

walk("no two sign-ins have a state or verifier in common", async (w) => {
  const chat = await w.start();
  const seen = new Set();
  for (let i = 0; i < 5; i++) {
    const { url } = await popup(w, chat);
    seen.add(url.searchParams.get("state")).add(url.searchParams.get("code_challenge"));
  }
  assert.equal(seen.size, 10);
  chat.stop();
});

walk("a sign-in that does not work leaves the visitor as it was", async (w) => {
  const chat = await w.start();
  window.blocks = true;
  await assert.rejects(chat.signIn({ connection: "shop" }), code("popup_blocked"));
  window.blocks = false;

  const closed = chat.signIn({ connection: "shop" });
  await until(() => window.opened.at(-1).url);
  window.opened.at(-1).close();
  const [first] = await Promise.allSettled([closed, pass(2)]);
  assert.ok(code("popup_closed")(first.reason));

  const refused = chat.signIn({ connection: "shop" });
  const opened = window.opened.at(-1);
  await until(() => opened.url);
  window.say("https://id.example", opened, { type: "chatelaine:sign-in-failed", error: "provider_refused", state: new URL(opened.url).searchParams.get("state") });
  await assert.rejects(refused, code("provider_refused"));
  assert.equal(opened.closed, false, "the words in the pop-up can't be read");

  const slow = chat.signIn({ connection: "shop" });
  const replaced = assert.rejects(slow, code("sign_in_replaced"));
  const next = chat.signIn({ connection: "shop" });
  const stopped = assert.rejects(next, code("stopped"));
  await until(() => window.opened.at(-1).url);
  await replaced;
  assert.equal(window.opened.at(-2).closed, true);

  w.reply = () => ({ status: 400, json: { error: "invalid_grant" } });
  const before = w.requests.length;
  const state = new URL(window.opened.at(-1).url).searchParams.get("state");
  assert.ok(state);
  chat.stop();
  await stopped;
  assert.equal(w.requests.length, before);

  w.reply = (body) => w.grant(body);
  const again = await w.start();
  w.reply = (body) => body.proof ? { status: 400, json: { error: "invalid_grant" } } : w.grant(body);
  await assert.rejects(popup(w, again), code("invalid_grant"));
  assert.deepEqual([again.assurance, await again.token()], ["anonymous", "t1"]);
  again.stop();
});

walk("a frame is made in its container and taken away", async (w) => {
  const chat = await w.start();
  await assert.rejects(chat.signIn({ connection: "shop", mode: "frame" }), code("container_missing"));
  for (const works of [true, false]) {
    const frame = { style: {}, contentWindow: {}, isConnected: true, remove() { this.isConnected = false; } };
    const view = new Page();
    view.document = { createElement: () => frame };
    const container = { ownerDocument: { defaultView: view }, append: (e) => assert.equal(e, frame) };
    const done = chat.signIn({ connection: "shop", mode: "frame", container });
    await until(() => frame.src);
    const q = new URL(frame.src).searchParams;
    assert.equal(q.get("visitor"), "frame");
    const said = works ? { type: "chatelaine:signed-in", code: "c1" } : { type: "chatelaine:sign-in-failed", error: "access_denied" };
    view.say("https://id.example", frame.contentWindow, { ...said, state: q.get("state") });
    if (works) await done;
    else await assert.rejects(done, code("access_denied"));
    assert.equal(frame.isConnected, !works);
  }
  assert.equal(chat.assurance, "federated");
  chat.stop();
});

/** Leaves by a redirect, and says with what the page would come back. */
async function leave(w) {
  location.hash = "#/chat";
  const chat = await w.start();
  w.went = "";
  chat.signIn({ connection: "shop", mode: "redirect" });
  await until(() => w.went);
  const q = new URL(w.went).searchParams;
  assert.deepEqual([q.get("visitor"), q.get("return_to")], ["redirect", "https://shop.example/basket?x=1"]);
  chat.stop();
  return q;
}

walk("a redirect goes on where the page comes back, and leaves nothing in its address", async (w) => {
  const q = await leave(w);
  location.hash = "#chatelaine_code=c0de&chatelaine_state=" + q.get("state");
  const chat = await w.start();
  assert.deepEqual(w.replaced, { state: { mine: 1 }, url: "/basket?x=1#/chat" });
  assert.deepEqual([chat.assurance, chat.signInError, w.session.map.size], ["federated", null, 0]);
  const { proof, code_verifier: verifier, renew } = w.bodies()[1];
  assert.deepEqual([proof, renew], ["c0de", "r1"]);
  assert.equal(createHash("sha256").update(verifier).digest("base64url"), q.get("code_challenge"));
  chat.stop();
});

walk("a redirect that somebody else has made up, or that failed, signs nobody in", async (w) => {
  const q = await leave(w);
  location.hash = "#chatelaine_code=evil&chatelaine_state=x";
  let chat = await w.start();
  assert.deepEqual([chat.assurance, chat.signInError, w.requests.length], ["anonymous", null, 1]);
  chat.stop();
  location.hash = "#chatelaine_error=provider_refused&chatelaine_state=" + q.get("state");
  chat = await w.start();
  assert.deepEqual([chat.assurance, chat.signInError.code, w.requests.length, w.session.map.size], ["anonymous", "provider_refused", 1, 0]);
  chat.stop();
  location.hash = "#chatelaine_code=evil&chatelaine_state=" + q.get("state");
  chat = await w.start();
  assert.deepEqual([chat.assurance, chat.signInError.code, w.requests.length], ["anonymous", "answer_expired", 1]);
  chat.stop();
  const late = await leave(w);
  mock.timers.setTime(Date.now() + 11 * 60_000);
  location.hash = "#chatelaine_code=c0de&chatelaine_state=" + late.get("state");
  chat = await w.start();
  assert.deepEqual([chat.assurance, chat.signInError.code], ["anonymous", "answer_expired"]);
  chat.stop();
});

walk("who the page knows is a signed visitor, and none any more when it doesn't", async (w) => {
  let user = "jwt-of-ana";
  const identity = async () => user;
  let chat = await w.start({ identity });
  assert.deepEqual([chat.assurance, w.bodies()[0]], ["signed", { identity: "jwt-of-ana" }]);
  chat.stop();
  chat = await w.start({ identity });
  assert.deepEqual(w.bodies()[1], { identity: "jwt-of-ana", renew: "r1" });
  chat.stop();
  user = "";
  w.told = [];
  chat = await w.start({ identity });
  assert.deepEqual(w.bodies()[2], {}, "the next person at this computer is taken for the one before");
  assert.deepEqual(w.told, [["t3", "anonymous"]]);
  chat.stop();
  user = "jwt-of-raj";
  w.told = [];
  chat = await w.start({ identity });
  assert.deepEqual(w.told, [["t4", "signed"]], "a token of whom it was before was handed out");
  chat.stop();
});

walk("an identity that can't be had is an error, and a slow one too", async (w) => {
  let failure;
  w.start({ identity: () => Promise.reject(new Error("no")) }).catch((err) => { failure = err; });
  await pass(20);
  assert.equal(w.requests.length, 0);
  w.start({ identity: () => new Promise(() => {}) }).catch((err) => { failure = err; });
  await pass(80);
  assert.ok(code("identity_failed")(failure));
});

walk("signing out forgets the visitor, also one whose renewal is under way", async (w) => {
  const chat = await w.start();
  let answer;
  w.reply = (body) => body.renew ? new Promise((go) => { answer = () => go(w.grant(body)); }) : w.grant(body, { visitor_id: "v2" });
  const under = chat.token({ fresh: true });
  await settle();
  const out = chat.signOut();
  await settle();
  answer();
  await out;
  assert.equal(await under, await chat.token());
  assert.equal(chat.visitorId, "v2");
  assert.equal(JSON.parse(w.storage.getItem(KEY)).visitorId, "v2");
  chat.stop();
  await assert.rejects(chat.token(), code("stopped"));
});

walk("a visitor who is known is signed out at the issuer, an anonymous one is not", async (w) => {
  const chat = await w.start();
  await chat.signOut();
  assert.deepEqual(w.ends, []);
  await popup(w, chat);
  const renew = JSON.parse(w.storage.getItem(KEY)).renew;
  await chat.signOut();
  assert.equal(chat.assurance, "anonymous");
  assert.equal(w.ends.length, 1);
  assert.deepEqual(w.ends[0].body, { renew });
  assert.ok(w.ends[0].init.keepalive && w.ends[0].init.credentials === "omit");
  chat.stop();
  let user = "jwt-of-ana";
  await (await w.start({ identity: async () => user })).stop();
  user = "";
  const after = await w.start({ identity: async () => user }); // signed out at the page
  assert.equal(after.assurance, "anonymous");
  assert.equal(w.ends.length, 2);
});

walk("a tab hears of what another has done", async (w) => {
  const says = new EventTarget();
  globalThis.addEventListener = says.addEventListener.bind(says);
  try {
    const one = await w.start();
    const two = await w.start();
    await popup(w, one);
    says.dispatchEvent(Object.assign(new Event("storage"), { storageArea: w.storage, key: KEY }));
    assert.equal(two.assurance, "federated");
    w.storage.removeItem(KEY);
    says.dispatchEvent(Object.assign(new Event("storage"), { storageArea: w.storage, key: KEY }));
    assert.deepEqual([two.visitorId, one.visitorId], ["", ""]);
    one.stop();
    two.stop();
  } finally {
    delete globalThis.addEventListener;
  }
});

walk("without storage or locks the visitor lives in the page", async (w) => {
  Object.defineProperty(globalThis, "navigator", { configurable: true, value: {} });
  const broken = { getItem() { throw new Error("denied"); }, setItem() { throw new Error("full"); }, removeItem() { throw new Error("denied"); } };
  for (const storage of [null, broken]) {
    const chat = await w.start({ storage });
    await Promise.all([chat.token({ fresh: true }), chat.token({ fresh: true })]);
    assert.match(await chat.token(), /^t/);
    chat.stop();
  }
  w.storage.setItem(KEY, '{"token":7,"renew":"');
  const chat = await w.start();
  assert.match(await chat.token(), /^t/);
  chat.stop();
});

walk("an issuer is an https address", async (w) => {
  for (const issuer of ["http://id.example", "ftp://id.example", "https://id.example/?x=1", "https://id.example/#x", "https://u:p@id.example/", "javascript:alert(1)"]) {
    await assert.rejects(w.start({ issuer }), code("invalid_issuer"), issuer);
  }
  await assert.rejects(w.start({ issuer: "id" }));
  const chat = await w.start({ issuer: "http://localhost:8080/acme/" });
  assert.equal(w.requests[0].url, "http://localhost:8080/acme/visitors/start");
  chat.stop();
});

walk("what is no token response is an error", async (w) => {
  for (const json of [{}, { access_token: 7, visitor_id: "v", expires_in: 300 }, { access_token: "t", visitor_id: "v", expires_in: "soon" }, { access_token: "t", expires_in: 300 }, { access_token: "t", visitor_id: "v", expires_in: -1 }]) {
    w.reply = () => ({ json });
    let failure;
    w.start().catch((err) => { failure = err; });
    await pass(8);
    assert.ok(code("unavailable")(failure), JSON.stringify(json));
  }
});
