"use strict";
// Output is text, never markup: it is only ever put into textContent.

const element = (id) => document.getElementById(id);
let current = null;

function show(verdict, stdout, stderr) {
  element("verdict").textContent = verdict;
  element("stdout").textContent = stdout;
  element("stderr").textContent = stderr;
}

function busy(on) {
  element("run").disabled = on;
  element("cancel").disabled = current === null;
}

function verdictOf(task) {
  const what = [task.outcome, task.reason].filter(Boolean).join(" / ");
  const time = task.usage ? `, ${task.usage.wall_s.toFixed(3)} s` : "";
  return `${what}${time}. ${task.detail}`;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  const document = await answer.json();
  if (document.state === undefined) {
    throw new Error(document.detail);
  }
  return document;
}

async function run() {
  const body = {
    code: element("code").value,
    timeout: Number(element("timeout").value),
    wait: false,
  };
  let task = await ask("/execute", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  current = task.id;
  busy(true);
  while (task.state !== "finish") {
    show(`${task.state} …`, "", "");
    task = await ask(`/tasks/${task.id}?wait=20`);
  }
  show(verdictOf(task), task.stdout, task.stderr);
}

element("task").addEventListener("submit", async (event) => {
  event.preventDefault();
  busy(true);
  show("sent …", "", "");
  try {
    await run();
  } catch (error) {
    show(`The server did not take it: ${error.message}`, "", "");
  } finally {
    current = null;
    busy(false);
  }
});

element("cancel").addEventListener("click", () => {
  if (current !== null) {
    fetch(`/tasks/${current}`, { method: "DELETE" });
  }
});
