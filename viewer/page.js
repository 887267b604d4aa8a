// Links within the viewer change the page in place; keys follow links that name one; "/" goes to the search field.
(() => {
  if (window.dfarPage) return;
  window.dfarPage = true;
  const typing = (e) => e.target.closest?.("input, textarea, select, [contenteditable=true]");
  const plain = (e) => !(e.ctrlKey || e.metaKey || e.altKey || e.shiftKey || e.button);

  const go = (a) => {
    const same = location.pathname === new URL(a.href).pathname;
    history.pushState(null, "", a.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
    if (!same || "top" in a.dataset) document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
  };

  document.addEventListener("click", (e) => {
    const a = e.target.closest?.("a.d-go[href]");
    if (!a || !plain(e) || new URL(a.href).origin !== location.origin) return;
    e.preventDefault();
    go(a);
  }, true);

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.repeat || typing(e)) return;
    if (e.key === "/") {
      const field = document.querySelector("input[placeholder^='Search']");
      if (field) { e.preventDefault(); field.focus(); field.select(); }
      return;
    }
    const a = document.querySelector(`a.d-go[data-key="${CSS.escape(e.key.toLowerCase())}"]`);
    if (a) { e.preventDefault(); go(a); }
  });

  // A note that is typed and not sent yet survives a reload of this tab; once its answer is kept it goes. Another
  // reason to judge begins at its top.
  const noteOf = (area) => {
    const name = area.closest?.("[class*=st-key-note-]")?.className.match(/st-key-(note-\S+)/)?.[1];
    return name && `dfar ${new URLSearchParams(location.search).get("judge")} ${name}`;
  };
  let kept = null, judged = null;
  document.addEventListener("input", (e) => {
    const name = noteOf(e.target);
    if (name) e.target.value ? sessionStorage.setItem(name, e.target.value) : sessionStorage.removeItem(name);
  });
  new MutationObserver(() => {
    const last = document.querySelector("[data-kept]")?.dataset.kept ?? kept;
    if (kept !== null && last !== kept)
      sessionStorage.removeItem(`dfar ${new URLSearchParams(location.search).get("judge")} note-${last}`);
    kept = last;
    const blind = document.querySelector("[data-blind]")?.dataset.blind ?? judged;
    if (judged !== null && blind !== judged) document.querySelector("[data-testid=stMain]")?.scrollTo(0, 0);
    judged = blind;
    for (const area of document.querySelectorAll("[class*=st-key-note-] textarea:not([data-drafted])")) {
      area.dataset.drafted = "";
      const draft = sessionStorage.getItem(noteOf(area));
      if (!draft || area.value) continue;
      Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set.call(area, draft);
      area.dispatchEvent(new Event("input", {bubbles: true}));
      setTimeout(() => area.dispatchEvent(new FocusEvent("focusout", {bubbles: true})), 100);
    }
  }).observe(document.documentElement, {childList: true, subtree: true});
})();
