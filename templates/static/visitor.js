// Chatelaine for a chat widget: tokens for visitors, renewed quietly, and signing
// in through the customer's own login. Types: visitor.d.ts beside this file.
// No dependencies, no cookies; nothing is sent anywhere but to the issuer.

const START = "/visitors/start";
const END = "/visitors/end";
const REQUEST_TIMEOUT = 15_000;
const SIGN_IN_TIMEOUT = 10 * 60_000;
const MARGIN = 10_000; // a token that ends sooner is not handed out
const MAX_WAIT = 60_000;
const MAX_TIMER = 2 ** 31 - 1;
const MAX_RETURN = 1000; // of the address that a redirect comes back to
const TRIES = 3; // at the start
const RESULT = ["chatelaine_code", "chatelaine_state", "chatelaine_error"];

/**
 * @typedef {import("./visitor.js").Options} Options
 * @typedef {import("./visitor.js").SignInOptions} SignInOptions
 * @typedef {{ visitorId: string, assurance: import("./visitor.js").Assurance, renew: string, token: string, expires: number }} Kept
 * @typedef {{ state: string, verifier: string, began: number, hash: string }} Pending
 */

/**
 * Errors that a page of the issuer's has told, and shows in words.
 * @type {WeakSet<object>}
 */
const told = new WeakSet();

/** What went wrong, by its code. */
export class ChatelaineError extends Error {
  /**
   * @param {string} code
   * @param {string} [message]
   * @param {{ status?: number, requestId?: string, retryAfter?: number, cause?: unknown }} [more]
   */
  constructor(code, message, more = {}) {
    super(message || code, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = "ChatelaineError";
    this.code = code;
    this.status = more.status || 0;
    this.requestId = more.requestId || "";
    this.retryAfter = more.retryAfter || 0;
  }
}

/** A visitor of this page. */
export class Chatelaine {
  /** @type {Options} */ #options;
  /** @type {string} */ #issuer;
  /** @type {string} */ #key;
  /** @type {Storage | null} */ #storage;
  /** @type {Kept | null} */ #kept = null;
  /** @type {Promise<string> | null} */ #renewing = null;
  /** @type {Promise<unknown>} */ #queue = Promise.resolve();
  /** @type {ChatelaineError | null} */ #last = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #failures = 0;
  #notBefore = 0;
  #turn = 0; // grows when the visitor becomes somebody else: older answers are dropped
  #stopped = new AbortController();
  #hidden = false;
  /** @type {AbortController | null} */ #signingIn = null;

  /** Why signing in by redirect did not work, if one has just come back without. */
  /** @type {ChatelaineError | null} */ signInError = null;

  /**
   * Begins: the visitor of the last time, or a new one. The promise is fulfilled with
   * no token yet where the site wants visitors to sign in first (signInRequired).
   * @param {Options} options
   */
  static async start(options) {
    const chat = new Chatelaine(options);
    try {
      await chat.#begin();
    } catch (err) {
      if (!chat.signInRequired) {
        chat.stop();
        throw err;
      }
    }
    return chat;
  }

  /** @param {Options} options */
  constructor(options) {
    this.#options = options;
    this.#issuer = issuerOf(options.issuer);
    this.#key = "chatelaine:" + this.#issuer;
    this.#storage = options.storage === undefined ? ordinaryStorage() : options.storage;
  }

  /** The visitor's id; empty before there is a token. */
  get visitorId() { return this.#kept ? this.#kept.visitorId : ""; }

  /** How the visitor is known: anonymous, signed or federated; empty before there is a token. */
  get assurance() { return this.#kept ? this.#kept.assurance : ""; }

  /** Whether the site gives tokens only to those who sign in, and this visitor has not. */
  get signInRequired() { return !this.#kept && this.#last?.code === "sign_in_required"; }

  /**
   * A token that is good for some seconds at least.
   * @param {{ fresh?: boolean }} [how] fresh: another one than before, which a backend has refused
   * @returns {Promise<string>}
   */
  async token(how = {}) {
    if (this.#stopped.signal.aborted) throw this.#gone();
    this.#adopt(this.#read());
    const kept = this.#kept;
    if (kept && !how.fresh && lasts(kept)) return kept.token;
    if (this.#last && (this.signInRequired || Date.now() < this.#notBefore)) throw this.#last;
    try {
      return await this.#renew(how.fresh && kept ? kept.token : "");
    } catch (err) {
      if (asError(err).code === "visitor_changed") return this.token(); // signed out meanwhile, say
      throw err;
    }
  }

  /**
   * Signs the visitor in through a connection, or one that they choose.
   * @param {SignInOptions} [options]
   * @returns {Promise<void>} a redirect never comes back here: start goes on with it
   */
  async signIn(options = {}) {
    if (this.#stopped.signal.aborted) throw this.#gone();
    this.#signingIn?.abort(new ChatelaineError("sign_in_replaced", "another sign-in has begun"));
    const ended = this.#signingIn = new AbortController();
    const mode = options.mode || "popup";
    // A pop-up is opened at once: later it would not be the visitor's own doing.
    const popup = mode === "popup" ? window.open("about:blank", "_blank", place()) : null;
    if (mode === "popup" && !popup) throw new ChatelaineError("popup_blocked", "the browser has not opened a window");
    try {
      const verifier = random(32);
      const state = random(16);
      const query = new URLSearchParams({
        visitor: mode, origin: self.origin, code_challenge: await challenge(verifier), code_challenge_method: "S256", state,
      });
      if (ended.signal.aborted) throw ended.signal.reason;
      const at = options.connection ? `/${encodeURIComponent(options.connection)}` : "";
      const url = `${this.#issuer}/federation${at}/start?`;
      if (mode === "redirect") return await this.#leave(url, query, { state, verifier, began: Date.now(), hash: location.hash });
      const code = await (popup
        ? this.#hear(window, popup, state, ended, () => popup.location.replace(url + query), () => popup.closed)
        : this.#hearFrame(options.container, url + query, state, ended));
      if (popup && !popup.closed) popup.close();
      await this.#prove(code, verifier);
    } catch (err) {
      if (popup && !popup.closed && !told.has(asError(err))) popup.close();
      throw err;
    } finally {
      if (this.#signingIn === ended) this.#signingIn = null;
    }
  }

  /**
   * Signs the visitor out: what they hold in this browser ends, and it begins as a new
   * one, if the site lets one be anonymous.
   */
  async signOut() {
    if (this.#stopped.signal.aborted) throw this.#gone();
    this.#end();
    this.#forget();
    this.#options = { ...this.#options, identity: undefined };
    try {
      await this.#renew("");
    } catch (err) {
      if (!this.signInRequired) throw err;
    }
  }

  /** Ends it: no more tokens, nothing under way. The visitor is still known the next time. */
  stop() {
    this.#stopped.abort();
    clearTimeout(this.#timer);
    this.#signingIn?.abort(this.#gone());
  }

  #gone() {
    return this.#hidden && this.#last ? this.#last : new ChatelaineError("stopped", "it was stopped");
  }

  async #begin() {
    const back = this.#comeBack();
    const signal = this.#stopped.signal;
    globalThis.addEventListener?.("storage", (event) => this.#elsewhere(event), { signal });
    globalThis.addEventListener?.("online", () => this.#soon(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.#soon();
    }, { signal });
    if (this.#options.identity) this.#kept = this.#read(); // not handed out before it is known to be the same visitor
    else this.#adopt(this.#read());
    if (back && "verifier" in back) {
      try {
        await this.#prove(back.code, back.verifier);
        return;
      } catch (err) {
        this.signInError = asError(err);
        if (this.#hidden) throw err;
      }
    } else if (back) {
      this.signInError = back.error;
    }
    for (let n = 1; ; n++) {
      try {
        await (this.#options.identity ? this.#identify() : this.token());
        return;
      } catch (err) {
        if (n === TRIES || !passing(asError(err)) || signal.aborted) throw err;
        await new Promise((go) => setTimeout(go, this.#notBefore - Date.now()));
        this.#notBefore = 0;
      }
    }
  }

  // Who the page says that the visitor is, which may have changed since the last time.
  #identify() {
    return this.#alone(async () => {
      const identity = await this.#identity();
      this.#kept = this.#read() || this.#kept;
      if (!identity && this.assurance === "signed") { // signed out at the page
        this.#end();
        this.#forget();
      }
      return this.#ask(identity ? { identity } : {});
    });
  }

  async #identity() {
    if (!this.#options.identity) return "";
    try {
      const late = new Promise((_, reject) => setTimeout(reject, REQUEST_TIMEOUT, new Error("it took too long")));
      return /** @type {string} */ (await Promise.race([this.#options.identity(), late])) || "";
    } catch (err) {
      throw new ChatelaineError("identity_failed", "the page has not said who the visitor is", { cause: err });
    }
  }

  /**
   * One renewal at a time, in this tab and in all of them.
   * @param {string} unlike a token that will not do
   * @returns {Promise<string>}
   */
  #renew(unlike) {
    if (!this.#renewing) {
      const mine = this.#renewing = this.#alone(async () => {
        this.#adopt(this.#read());
        const kept = this.#kept;
        if (kept && kept.token !== unlike && lasts(kept)) return kept.token; // another tab was faster
        const identity = kept ? "" : await this.#identity();
        return this.#ask(identity ? { identity } : {});
      }).finally(() => {
        if (this.#renewing === mine) this.#renewing = null;
      });
    }
    return this.#renewing;
  }

  /**
   * Acts when nothing else does: a renewal token works once.
   * @param {() => Promise<string>} act
   * @returns {Promise<string>}
   */
  #alone(act) {
    const turn = this.#turn;
    const locks = globalThis.navigator?.locks;
    const signal = this.#stopped.signal;
    const run = () => {
      if (signal.aborted) throw this.#gone();
      if (turn !== this.#turn) throw changed();
      return act();
    };
    const mine = this.#queue.then(async () => locks && this.#storage ? await locks.request(this.#key, { signal }, run) : run()).catch((err) => {
      throw signal.aborted ? this.#gone() : err;
    });
    this.#queue = mine.catch(() => {});
    return mine;
  }

  /**
   * @param {string} code
   * @param {string} verifier
   */
  async #prove(code, verifier) {
    await this.#alone(() => {
      this.#kept = this.#read() || this.#kept;
      return this.#ask({ proof: code, code_verifier: verifier });
    });
  }

  /**
   * Asks for a token, as the visitor of the renewal token that we hold if we hold one.
   * Once that is of no use any more, as a new visitor; it is kept until that works.
   * @param {Record<string, string>} body
   * @param {string} [spent] a renewal token that is of no use
   * @returns {Promise<string>}
   */
  async #ask(body, spent) {
    const turn = this.#turn;
    const renew = this.#kept && this.#kept.renew !== spent ? this.#kept.renew : "";
    try {
      const answer = await this.#post(renew ? { ...body, renew } : body);
      if (this.#stopped.signal.aborted) throw this.#gone();
      if (turn !== this.#turn) throw changed();
      this.#keep(answer);
      return answer.token;
    } catch (err) {
      const failure = asError(err);
      if (turn !== this.#turn || failure.code === "stopped") throw failure;
      if (renew && !spent && failure.code === "invalid_grant") {
        const kept = this.#read();
        const newer = kept && kept.renew !== renew; // another tab has used it and holds the next
        if (newer) this.#kept = kept;
        const identity = newer || body.proof || body.identity ? "" : await this.#identity();
        return this.#ask(identity ? { ...body, identity } : body, renew);
      }
      this.#fail(failure, !!body.proof);
      throw failure;
    }
  }

  /**
   * @param {Record<string, string>} body
   * @returns {Promise<Kept>}
   */
  async #post(body) {
    let answer;
    let said;
    const signal = AbortSignal.any ? AbortSignal.any([AbortSignal.timeout(REQUEST_TIMEOUT), this.#stopped.signal]) : AbortSignal.timeout(REQUEST_TIMEOUT);
    try {
      answer = await fetch(this.#issuer + START, {
        method: "POST", mode: "cors", credentials: "omit", cache: "no-store", redirect: "error", signal,
        headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body),
      });
      said = await answer.json();
    } catch (err) {
      if (this.#stopped.signal.aborted) throw this.#gone();
      if (!answer || answer.ok) throw new ChatelaineError("unavailable", "the issuer can't be reached", { cause: err });
      said = {};
    }
    if (!answer.ok) {
      const code = typeof said.reason === "string" && answer.status === 403 ? said.reason : typeof said.error === "string" ? said.error : answer.status === 429 ? "rate_limited" : "unavailable";
      throw new ChatelaineError(code, said.error_description, {
        status: answer.status, requestId: said.request_id || answer.headers.get("X-Request-Id") || "", retryAfter: Number(answer.headers.get("Retry-After")) || 0,
      });
    }
    const life = Number(said.expires_in);
    if (typeof said.access_token !== "string" || typeof said.visitor_id !== "string" || !(life > 0)) throw new ChatelaineError("unavailable", "that was no token response");
    return { visitorId: said.visitor_id, assurance: said.assurance || "anonymous", renew: said.renew || "", token: said.access_token, expires: Date.now() + life * 1000 };
  }

  /**
   * @param {ChatelaineError} failure
   * @param {boolean} signingIn a sign-in that fails takes no token from anybody
   */
  #fail(failure, signingIn) {
    if (failure.code === "visitor_banned") { // and stays who it is: a new visitor might not be banned
      this.#last = failure;
      this.#hidden = true;
      this.stop();
      this.#options.onHidden?.(failure);
      return;
    }
    if (signingIn) return;
    if (failure.code === "sign_in_required") {
      this.#forget();
      this.#last = failure;
      return;
    }
    this.#last = failure;
    this.#failures++;
    const wait = passing(failure) ? Math.min(MAX_WAIT, 1000 * 2 ** (this.#failures - 1)) * (0.5 + Math.random() / 2) : MAX_WAIT;
    const pause = Math.max(wait, failure.retryAfter * 1000);
    this.#notBefore = Date.now() + pause;
    this.#later(pause);
  }

  /** @param {Kept} kept */
  #keep(kept) {
    this.#kept = kept;
    this.#write(JSON.stringify(kept));
    this.#settle();
    this.#tell();
  }

  #settle() {
    this.#last = null;
    this.#failures = 0;
    this.#notBefore = 0;
    const left = (this.#kept ? this.#kept.expires : 0) - Date.now();
    this.#later(Math.max(1000, left * (0.7 + Math.random() * 0.1)));
  }

  #tell() {
    const kept = this.#kept;
    if (kept && lasts(kept)) this.#options.onToken?.(kept.token, { visitorId: kept.visitorId, assurance: kept.assurance, expires: new Date(kept.expires) });
  }

  /** @param {number} wait */
  #later(wait) {
    clearTimeout(this.#timer);
    if (this.#stopped.signal.aborted) return;
    this.#timer = setTimeout(() => this.#soon(true), Math.min(wait, MAX_TIMER));
  }

  // Renews if it is time to; what goes wrong is told to those who ask for a token.
  #soon(due = false) {
    if (this.#stopped.signal.aborted || this.signInRequired) return;
    const kept = this.#kept;
    if (!due && kept && kept.expires - 3 * MARGIN > Date.now()) return;
    this.#adopt(this.#read());
    if (due && kept && this.#kept !== kept) return; // another tab has done it
    this.#renew(kept ? kept.token : "").catch(() => {});
  }

  // Tells the issuer that a visitor who is known has signed out. Where it cannot be
  // told, their tokens end by themselves.
  #end() {
    const kept = this.#read() || this.#kept;
    if (!kept || !kept.renew || kept.assurance === "anonymous") return;
    fetch(this.#issuer + END, {
      method: "POST", mode: "cors", credentials: "omit", cache: "no-store", redirect: "error", keepalive: true, // the page may be left
      headers: { "Content-Type": "application/json" }, body: JSON.stringify({ renew: kept.renew }),
    }).catch(() => {});
  }

  #forget() {
    this.#turn++;
    this.#renewing = null;
    this.#kept = null;
    this.#last = null;
    this.#notBefore = 0;
    clearTimeout(this.#timer);
    this.#write(null);
  }

  /** @param {StorageEvent} event */
  #elsewhere(event) {
    if (event.storageArea !== this.#storage || event.key !== this.#key && event.key !== null) return;
    const kept = this.#read();
    if (kept) return this.#adopt(kept);
    if (!this.#kept) return;
    this.#turn++; // signed out in another tab
    this.#last = null;
    this.#renewing = null;
    this.#kept = null;
    clearTimeout(this.#timer);
  }

  /** @param {Kept | null} kept */
  #adopt(kept) {
    if (!kept || kept.token === this.#kept?.token || kept.expires < (this.#kept?.expires || 0)) return;
    this.#kept = kept;
    this.#settle();
    this.#tell();
  }

  /** @returns {Kept | null} */
  #read() {
    try {
      const kept = JSON.parse(this.#storage?.getItem(this.#key) || "null");
      return kept && typeof kept.token === "string" && typeof kept.renew === "string" && typeof kept.visitorId === "string" && kept.expires > 0 ? kept : null;
    } catch {
      return null;
    }
  }

  /** @param {string | null} text */
  #write(text) {
    try {
      if (text === null) this.#storage?.removeItem(this.#key);
      else this.#storage?.setItem(this.#key, text);
    } catch {
      this.#storage = null; // full, or forbidden: it is kept in this page only
    }
  }

  /**
   * @param {string} url
   * @param {URLSearchParams} query
   * @param {Pending} pending
   * @returns {Promise<never>}
   */
  #leave(url, query, pending) {
    const home = new URL(location.href);
    home.hash = "";
    if (home.href.length > MAX_RETURN) home.search = "";
    query.set("return_to", home.href);
    try {
      sessionStorage.setItem(this.#key + ":signing-in", JSON.stringify(pending));
    } catch (err) {
      throw new ChatelaineError("storage_missing", "a redirect needs sessionStorage", { cause: err });
    }
    const way = document.createElement("a"); // it says where it is from, whatever the page's own policy
    way.href = url + query;
    way.referrerPolicy = "origin";
    document.body.append(way);
    way.click();
    way.remove();
    return new Promise(() => {});
  }

  /**
   * What a redirect has brought back in the fragment, which is cleaned at once.
   * @returns {{ code: string, verifier: string } | { error: ChatelaineError } | null}
   */
  #comeBack() {
    if (!globalThis.location?.hash.includes("chatelaine_")) return null;
    const [code, state, error] = RESULT.map((name) => new URLSearchParams(location.hash.slice(1)).get(name) || "");
    if (!state || !code && !error) return null;
    /** @type {Pending | null} */
    let pending = null;
    try {
      pending = JSON.parse(sessionStorage.getItem(this.#key + ":signing-in") || "null");
    } catch { /* as if there were none */ }
    if (pending && pending.state !== state) return null; // another issuer's, or made up
    history.replaceState(history.state, "", location.pathname + location.search + (pending?.hash || ""));
    if (!pending) return { error: new ChatelaineError("answer_expired", "no sign-in has begun in this tab") };
    sessionStorage.removeItem(this.#key + ":signing-in");
    if (Date.now() - pending.began > SIGN_IN_TIMEOUT) return { error: new ChatelaineError("answer_expired", "signing in took too long") };
    return error ? { error: new ChatelaineError(error) } : { code, verifier: pending.verifier };
  }

  /**
   * @param {HTMLElement | undefined} container
   * @param {string} url
   * @param {string} state
   * @param {AbortController} ended
   */
  async #hearFrame(container, url, state, ended) {
    const view = container?.ownerDocument.defaultView;
    if (!container || !view) throw new ChatelaineError("container_missing", "a frame needs a container");
    const frame = view.document.createElement("iframe");
    frame.title = this.#options.frameTitle || "Sign in";
    frame.referrerPolicy = "no-referrer";
    Object.assign(frame.style, { width: "100%", height: "100%", border: "0" });
    container.append(frame);
    let keep = false;
    try {
      const within = /** @type {Window} */ (frame.contentWindow);
      return await this.#hear(view, within, state, ended, () => { frame.src = url; }, () => !frame.isConnected);
    } catch (err) {
      keep = told.has(asError(err)); // it says why
      throw err;
    } finally {
      if (!keep) frame.remove();
    }
  }

  /**
   * Waits for the one message that counts: of this window, origin and state.
   * @param {Window} view
   * @param {Window} from
   * @param {string} state
   * @param {AbortController} ended
   * @param {() => void} go
   * @param {() => boolean} closed
   * @returns {Promise<string>}
   */
  #hear(view, from, state, ended, go, closed) {
    const origin = new URL(this.#issuer).origin;
    return new Promise((resolve, reject) => {
      const over = new AbortController();
      const late = setTimeout(() => end(new ChatelaineError("sign_in_timeout", "signing in took too long")), SIGN_IN_TIMEOUT);
      let gone = 0;
      const watch = setInterval(() => {
        if (closed() && ++gone > 2) end(new ChatelaineError("popup_closed", "the window was closed"));
      }, 300);
      /** @param {ChatelaineError | string} result */
      const end = (result) => {
        over.abort();
        clearTimeout(late);
        clearInterval(watch);
        if (typeof result === "string") resolve(result);
        else reject(result);
      };
      view.addEventListener("message", (event) => {
        const said = event.data;
        if (event.origin !== origin || event.source !== from || !said || typeof said !== "object" || said.state !== state) return;
        if (said.type === "chatelaine:signed-in" && typeof said.code === "string") end(said.code);
        if (said.type === "chatelaine:sign-in-failed") {
          const failure = new ChatelaineError(String(said.error || "access_denied"), "signing in didn't work");
          told.add(failure);
          end(failure);
        }
      }, { signal: over.signal });
      ended.signal.addEventListener("abort", () => end(asError(ended.signal.reason)), { signal: over.signal });
      go();
    });
  }
}

function changed() {
  return new ChatelaineError("visitor_changed", "the visitor has become another meanwhile");
}

/** @param {Kept} kept */
function lasts(kept) {
  return kept.expires - MARGIN > Date.now();
}

/**
 * Whether it may go by itself.
 * @param {ChatelaineError} failure
 */
function passing(failure) {
  return failure.code === "unavailable" || failure.code === "identity_failed" || failure.status === 429 || failure.status >= 500;
}

/** @param {string} text */
function issuerOf(text) {
  const url = new URL(text);
  const near = url.hostname === "localhost" || url.hostname === "127.0.0.1" || url.hostname === "[::1]";
  if (url.protocol !== "https:" && !(url.protocol === "http:" && near) || url.search || url.hash || url.username || url.password) {
    throw new ChatelaineError("invalid_issuer", "the issuer is an https address without query");
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}

/** @returns {Storage | null} */
function ordinaryStorage() {
  try {
    return globalThis.localStorage || null;
  } catch {
    return null; // forbidden: it is kept in this page only
  }
}

/** @param {unknown} err */
function asError(err) {
  return err instanceof ChatelaineError ? err : new ChatelaineError("unavailable", String(err), { cause: err });
}

/** @param {number} n */
function random(n) {
  return encoded(crypto.getRandomValues(new Uint8Array(n)));
}

/** @param {string} verifier */
async function challenge(verifier) {
  if (!crypto.subtle) throw new ChatelaineError("insecure_context", "signing in needs a page that came over https");
  return encoded(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** @param {Uint8Array} bytes */
function encoded(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function place() {
  const [width, height] = [480, 720];
  const left = Math.max(0, Math.round(screenX + (outerWidth - width) / 2));
  const top = Math.max(0, Math.round(screenY + (outerHeight - height) / 2));
  return `popup,width=${width},height=${height},left=${left},top=${top}`;
}

export default Chatelaine;
