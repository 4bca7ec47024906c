// Keeps the parts of a page that change by themselves up to date: <div data-live="address">…</div>.
// The server's side is catalog/web/live.py. Without this script the page is as it was when it was loaded.
"use strict";
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.addEventListener("part", (event) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const open = new Set([...part.querySelectorAll("details[open]")].map((one) => one.id));
    part.innerHTML = event.data;
    for (const one of part.querySelectorAll("details[id]")) one.open = one.open || open.has(one.id);
    if (focused) document.getElementById(focused)?.focus();
    // What is worth hearing: <p data-said> in the part is repeated in <p role="status" id="said"> outside it.
    const said = part.querySelector("[data-said]")?.textContent.trim();
    const status = document.getElementById("said");
    if (said && status && status.textContent !== said) status.textContent = said;
  });
  source.addEventListener("over", () => source.close());
  source.addEventListener("leave", () => { source.close(); location.reload(); });
  addEventListener("pagehide", () => source.close());
}
