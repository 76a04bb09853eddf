// Makes pages better where there is script; every one of them works without.
(() => {
  "use strict";

  // An error summary takes the focus, by autofocus or where that is not known by
  // hand, and its links lead into the fields.
  const problem = document.getElementById("problem");
  if (problem) {
    if (!("autofocus" in problem)) problem.focus();
    problem.addEventListener("click", (event) => {
      const link = event.target.closest('a[href^="#"]');
      const field = link && document.getElementById(link.hash.slice(1));
      if (field) {
        event.preventDefault();
        field.focus();
      }
    });
  }

  // A password can be shown while it is typed, and is hidden again before it is sent.
  for (const button of document.querySelectorAll(".reveal")) {
    const input = document.getElementById(button.getAttribute("aria-controls"));
    const show = (shown) => {
      input.type = shown ? "text" : "password";
      button.setAttribute("aria-pressed", String(shown));
    };
    input.spellcheck = false;
    input.autocapitalize = "none";
    button.hidden = false;
    button.parentElement.classList.add("can-show");
    button.addEventListener("click", () => show(input.type === "password"));
    input.form.addEventListener("submit", () => show(false));
  }

  // A form goes once: a second press while the answer is on its way is dropped.
  for (const form of document.forms) {
    let sent = 0;
    form.addEventListener("submit", (event) => {
      if (event.timeStamp - sent < 8000 && sent > 0) {
        event.preventDefault();
        return;
      }
      sent = event.timeStamp;
    });
    window.addEventListener("pageshow", () => { sent = 0; });
  }

  // A guarded form can't be sent until the page has been in front of a person,
  // visible and focused, for half a second: a click meant for a window that has
  // just closed above it does nothing.
  for (const form of document.querySelectorAll("form[data-guard]")) {
    const buttons = [...form.querySelectorAll("button")];
    let timer = 0;
    let focused = null;
    const disable = (yes) => { for (const b of buttons) b.disabled = yes; };
    const hold = () => {
      if (buttons.includes(document.activeElement)) focused = document.activeElement;
      clearTimeout(timer);
      timer = 0;
      disable(true);
    };
    const watch = () => {
      if (document.visibilityState !== "visible" || !document.hasFocus()) {
        hold();
      } else if (timer === 0) {
        timer = setTimeout(() => {
          disable(false);
          if (focused && document.activeElement === document.body) focused.focus();
          focused = null;
        }, 500);
      }
    };
    form.addEventListener("submit", (event) => {
      if (buttons[0].disabled) event.preventDefault();
    }, true);
    hold();
    watch();
    document.addEventListener("visibilitychange", watch);
    window.addEventListener("focus", watch);
    window.addEventListener("blur", hold);
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) {
        hold();
        watch();
      }
    });
  }

  // Times are the reader's own, in the page's language and the reader's habits.
  const language = document.documentElement.lang;
  const habits = navigator.languages.find((tag) => tag.split("-")[0] === language) || language;
  for (const time of document.querySelectorAll("time[datetime]")) {
    const style = "day" in time.dataset ? { dateStyle: "long" } : { dateStyle: "long", timeStyle: "short" };
    time.textContent = new Intl.DateTimeFormat(habits, { ...style, numberingSystem: "latn" }).format(new Date(time.dateTime));
  }

  // What a form says besides what was typed: whose it is, and that it is ours.
  const hidden = (form) => {
    const body = new URLSearchParams();
    for (const input of form.querySelectorAll('input[type="hidden"]')) {
      if (input.name !== "credential") body.append(input.name, input.value);
    }
    return body;
  };
  const ask = async (url, body, signal) => {
    const answer = await fetch(url, { method: "POST", body, signal, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return answer.json();
  };

  // The rules for a password are ticked while it is typed. What is not known, or
  // no longer, has no tick.
  const rules = document.querySelector("[data-check]");
  const typed = document.getElementById("new_password");
  if (rules && typed) {
    const say = document.getElementById("rules-say");
    let timer = 0;
    let asking = new AbortController();
    const beside = typed.form.querySelectorAll("[data-checked]"); // what the password must not repeat
    const show = (ticks) => {
      const broken = [];
      for (const line of rules.children) {
        const tick = ticks.find((t) => t.rule === line.dataset.rule);
        const state = !tick || tick.later ? "" : tick.ok ? "ok" : "failed";
        line.dataset.state = state;
        line.querySelector(".state").textContent = state && (state === "ok" ? rules.dataset.ok : rules.dataset.failed);
        if ("rare" in line.dataset) line.hidden = state !== "failed";
        if (state === "failed") broken.push(line.children[1].textContent);
      }
      const words = broken.length > 0 ? `${say.dataset.left} ${broken.join("; ")}` : ticks.length > 0 ? say.dataset.done : "";
      if (say.textContent !== words) say.textContent = words;
    };
    const check = async () => {
      const mine = (asking = new AbortController());
      const giveUp = setTimeout(() => mine.abort("late"), 5000);
      const body = hidden(typed.form);
      for (const input of beside) body.append(input.name, input.value);
      body.append("new_password", typed.value);
      try {
        const { rules: ticks } = await ask(rules.dataset.check, body, mine.signal);
        if (!mine.signal.aborted) show(ticks);
      } catch (err) {
        if (err.name !== "AbortError") show([]);
      } finally {
        clearTimeout(giveUp);
      }
    };
    const soon = () => {
      clearTimeout(timer);
      asking.abort();
      if (typed.value === "") show([]);
      else timer = setTimeout(check, 250);
    };
    for (const input of [typed, ...beside]) input.addEventListener("input", soon);
  }

  // What is to be kept can be copied and printed.
  const copy = async (text, from) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // not allowed: it is marked at least, and an older way tried
      getSelection().selectAllChildren(from);
      return document.execCommand("copy");
    }
    return true;
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    const from = document.getElementById(button.dataset.copy);
    const words = button.textContent;
    const said = document.createElement("span");
    said.className = "unseen";
    said.setAttribute("role", "status");
    button.after(said);
    button.hidden = false;
    button.addEventListener("click", async () => {
      const lines = [...from.querySelectorAll("li")].map((line) => line.textContent.trim() + "\n");
      if (!await copy(lines.join("") || from.textContent.replaceAll(" ", ""), from)) return;
      button.textContent = said.textContent = button.dataset.done;
      setTimeout(() => {
        button.textContent = words;
        said.textContent = "";
      }, 3000);
    });
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }

  // Passkeys. The server speaks JSON with bytes in base64url (WebAuthn, 5.1.8 and
  // 5.1.9), the browser speaks bytes; older ones can't translate.
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const known = (list) => (list || []).map((k) => ({ ...k, id: bytes(k.id) }));
  const options = (o) => ({
    ...o, challenge: bytes(o.challenge),
    ...(o.user ? { user: { ...o.user, id: bytes(o.user.id) }, excludeCredentials: known(o.excludeCredentials) } : { allowCredentials: known(o.allowCredentials) }),
  });
  const credential = (c) => {
    const response = {};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (c.response[part]) response[part] = base64(c.response[part]);
    }
    if (c.response.getTransports) response.transports = c.response.getTransports();
    return JSON.stringify({
      id: c.id, rawId: base64(c.rawId), type: c.type, response,
      authenticatorAttachment: c.authenticatorAttachment || undefined, clientExtensionResults: c.getClientExtensionResults(),
    });
  };

  const passkey = (form) => {
    const { passkey: ceremony, options: url } = form.dataset;
    const said = form.querySelector(".said");
    const button = form.querySelector("button");
    let abort = new AbortController();
    let running = Promise.resolve();
    let again = 0;

    // begin ends what is under way and asks the browser; by itself it waits in
    // the field for the e-mail address until a passkey is picked there.
    const begin = (byItself) => {
      abort.abort();
      clearTimeout(again);
      abort = new AbortController();
      running = turn(byItself, abort, running);
    };
    const turn = async (byItself, mine, before) => {
      await before;
      const { signal } = mine;
      if (signal.aborted) return;
      if (!byItself) said.textContent = "";
      const giveUp = setTimeout(() => mine.abort("late"), 15000);
      try {
        const { publicKey } = await ask(url, hidden(form), signal);
        clearTimeout(giveUp);
        const request = { publicKey: options(publicKey), signal };
        if (byItself) {
          request.mediation = "conditional";
          again = setTimeout(() => begin(true), (publicKey.timeout || 300000) * 0.8); // before the challenge is too old
        }
        send(await navigator.credentials[ceremony](request));
      } catch (err) {
        if (byItself || err.name === "AbortError") return;
        said.textContent = form.dataset[{ NotAllowedError: "cancelled", InvalidStateError: "exists" }[err.name] || "failed"];
        if ("autofill" in form.dataset) autofill();
      } finally {
        clearTimeout(giveUp);
      }
    };
    const send = (answer) => {
      if (!answer) throw new Error("no passkey");
      clearTimeout(again);
      form.elements.credential.value = credential(answer);
      const remember = document.getElementById("remember");
      if (remember?.checked && remember.form !== form) {
        const copied = remember.cloneNode();
        copied.type = "hidden";
        copied.removeAttribute("id");
        form.append(copied);
      }
      form.requestSubmit();
    };
    const autofill = async () => {
      if (await PublicKeyCredential.isConditionalMediationAvailable?.()) begin(true);
    };

    button.addEventListener("click", () => begin(false));
    form.addEventListener("submit", (event) => { // by Enter in the field for its name
      if (form.elements.credential.value !== "") return;
      event.preventDefault();
      event.stopImmediatePropagation();
      begin(false);
    }, true);
    window.addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      form.elements.credential.value = "";
      if ("autofill" in form.dataset) autofill();
    });
    form.hidden = button.hidden = false;
    if ("autofill" in form.dataset) autofill();
  };
  if (window.PublicKeyCredential && navigator.credentials) {
    for (const form of document.querySelectorAll("form[data-passkey]")) passkey(form);
    for (const words of document.querySelectorAll("[data-no-passkey]")) words.hidden = true;
    for (const or of document.querySelectorAll("[data-with-passkey]")) or.hidden = false;
  }

  // How a visitor's sign-in ended is told to the widget: to the page that opened
  // this one, or that it is framed by, if that is of exactly the origin that asked.
  for (const words of document.querySelectorAll("[data-scriptless]")) words.hidden = true;
  for (const button of document.querySelectorAll("[data-close]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.close());
  }
  const told = document.querySelector("[data-tell]");
  if (told) {
    const { tell: type, mode, origin, state, code, error, lost } = told.dataset;
    const asker = mode === "popup" ? window.opener : window.parent === window ? null : window.parent;
    if (asker) {
      asker.postMessage(code ? { type, code, state } : { type, state, error }, origin);
      if (code && mode === "popup") window.close();
    } else if (lost) {
      told.textContent = lost;
    }
  }

  // An answer to a client, or a question to a provider, goes on by itself.
  const answer = document.querySelector("form[data-submit]");
  if (answer) HTMLFormElement.prototype.submit.call(answer);
})();
