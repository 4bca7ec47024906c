// Sends a file in parts, goes on where it was after an interruption, and shows how far it is.
"use strict";

const PATIENCE = [1, 2, 4, 8, 15, 30, 30, 30, 30, 30];  // seconds between two attempts to reach the lab

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  const zone = form.querySelector(".drop");
  const start = (file) => { if (file && !form.dataset.busy) { send(form, file); } };
  input.addEventListener("change", () => start(input.files[0]));
  form.addEventListener("submit", (event) => { event.preventDefault(); start(input.files[0]); });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      if (kind === "drop") { start(event.dataTransfer.files[0]); }
    });
  }
}

async function send(form, file) {
  const show = display(form, file.size);
  const stay = (event) => event.preventDefault();
  form.dataset.busy = "yes";
  show.begin(file.name);
  window.addEventListener("beforeunload", stay);
  try {
    const said = new URLSearchParams({name: file.name, bytes: file.size, modified: file.lastModified});
    let {address, received, part} = await ask(show, form.dataset.upload, {method: "POST", body: said});
    form.dataset.upload = address;  // trying again goes on with this draft
    while (received < file.size) {
      show.sent(received);
      const body = file.slice(received, received + part);
      ({received} = await ask(show, `${address}?offset=${received}`, {method: "PUT", body}));
    }
    show.sent(received);
    show.look();
    const {next} = await ask(show, `${address}/end`, {method: "POST", body: new URLSearchParams()});
    window.removeEventListener("beforeunload", stay);
    window.location.assign(next);
  } catch (problem) {
    window.removeEventListener("beforeunload", stay);
    show.problem(problem.message);
    delete form.dataset.busy;
  }
}

async function ask(show, address, request) {
  for (const seconds of [...PATIENCE, 0]) {
    let answer;
    try {
      answer = await fetch(address, {...request, redirect: "manual"});
    } catch {
      show.waiting();
      await new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
      continue;
    }
    if (answer.status === 429 || answer.status >= 500) {
      show.waiting();
      await new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
      continue;
    }
    if (answer.type === "opaqueredirect") { throw new Error(show.words.failed); }  // to the sign-in page
    const json = answer.headers.get("Content-Type")?.startsWith("application/json");
    const told = json ? await answer.json() : {};
    if (answer.ok || (answer.status === 409 && told.received !== undefined)) { return told; }
    throw new Error(told.problem ?? show.words.failed);
  }
  throw new Error(show.words.failed);
}

function display(form, size) {
  const box = form.querySelector(".sending"), bar = box.querySelector("progress"), line = box.querySelector("[role=status]");
  const wrong = form.querySelector("[role=alert]"), words = form.dataset;
  const number = new Intl.NumberFormat(document.documentElement.lang, {maximumFractionDigits: 1});
  let told = -1;
  return {
    words,
    begin(name) {
      box.hidden = false;
      wrong.hidden = true;
      box.querySelector("[data-name]").textContent = name;
      bar.max = size;
      told = -1;
    },
    sent(received) {
      bar.value = received;
      const percent = Math.floor((100 * received) / size);
      if (percent !== told) {  // a screen reader need not hear each part
        told = percent;
        line.textContent = `${percent} % · ${number.format(received / 1e6)} / ${number.format(size / 1e6)} MB`;
      }
    },
    waiting() { line.textContent = words.waiting; told = -1; },
    look() { line.textContent = words.looking; },
    problem(text) {
      box.hidden = true;
      wrong.hidden = false;
      wrong.querySelector("p").textContent = text;
    },
  };
}
