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

  // An answer to a client goes on by itself.
  const answer = document.querySelector("form[data-submit]");
  if (answer) HTMLFormElement.prototype.submit.call(answer);
})();
