"use strict";
// The rules of the record, run entry by entry. A rule "i,c: sum(j: A[i,j] * v[j,c])" gives entry
// (i, c); R reads an entry and notes where it came from, S sums over the length of an axis.

const NUDGE = 1e-5;
const REFERENCE = /(\w+)\[([^[\]]*)\]/;

function key(name) {
  return name.replace(/\W+/g, "_").replace(/_+$/, "");
}

function axisOf(letter, text) {
  for (const [, name, at] of text.matchAll(/(\w+)\[([^[\]]*)\]/g)) {
    const position = at.split(",").indexOf(letter);
    if (position >= 0) return [name, position];
  }
  throw new Error(`no axis for ${letter} in ${text}`);
}

const compiled = new Map();

function compile(rule) {
  if (!compiled.has(rule)) {
    const cut = rule.indexOf(": ");
    const letters = rule.slice(0, cut).split(",").filter(Boolean);
    const body = rule.slice(cut + 2);
    let code = body.replace(/sum\((\w): /g, (all, letter, start) => {
      const [name, position] = axisOf(letter, body.slice(start));
      return `S("${name}",${position},${letter} => `;
    });
    while (REFERENCE.test(code)) {
      code = code.replace(REFERENCE, (all, name, at) => `R("${name}"${at ? "," + at : ""})`);
    }
    const {exp, log, tanh, cosh, max} = Math;
    const make = new Function("exp", "log", "tanh", "cosh", "max", "R", "S", ...letters,
                              `return ${code};`);
    compiled.set(rule, {letters, body, f: (R, S, at) => make(exp, log, tanh, cosh, max, R, S, ...at)});
  }
  return compiled.get(rule);
}

function positions(shape) {
  return shape.reduce((found, n) => found.flatMap(
    at => Array.from({length: n}, (_, i) => [...at, i])), [[]]);
}

function offset(shape, at) {
  return at.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
}

// One entry of an array, and the entries that it came from.
function entry(array, at, values) {
  const sources = [];
  const R = (name, ...where) => {
    where = where.map(Number);
    sources.push([name, where]);
    return values[name].data[offset(values[name].shape, where)];
  };
  const S = (name, axis, f) => {
    let sum = 0;
    for (let i = 0; i < values[name].shape[axis]; i++) sum += f(i);
    return sum;
  };
  return {value: Number(compile(array.rule).f(R, S, at)), sources};
}

function start(record) {
  return Object.fromEntries(record.arrays.map(
    a => [key(a.name), {shape: a.shape, data: [a.values].flat(Infinity)}]));
}

// Everything that follows from the given arrays; the array `held` is kept as it is.
function work(record, values, held = null, part = null) {
  for (const array of record.arrays) {
    if (array.rule && key(array.name) !== held && (!part || array.part === part)) {
      const data = positions(array.shape).map(at => entry(array, at, values).value);
      values[key(array.name)] = {shape: array.shape, data};
    }
  }
  return values;
}

function lossWith(record, values, name, data) {
  const moved = {...values, [name]: {shape: values[name].shape, data}};
  return work(record, moved, name, "forward").loss.data[0];
}

function differences(record, values, name) {
  return values[name].data.map((x, i, data) => {
    const up = data.with(i, x + NUDGE), down = data.with(i, x - NUDGE);
    return (lossWith(record, values, name, up) - lossWith(record, values, name, down))
      / (up[i] - down[i]);
  });
}

function stepLoss(record, values) {
  const moved = {...values};
  let square = 0;
  for (const name of record.parameters) {
    const slope = values["d" + name].data;
    square += slope.reduce((sum, g) => sum + g * g, 0);
    const data = values[name].data.map((x, i) => x - record.rate * slope[i]);
    moved[name] = {shape: values[name].shape, data};
  }
  const loss = values.loss.data[0];
  return {loss, predicted: loss - record.rate * square,
          seen: work(record, moved, null, "forward").loss.data[0]};
}

function number(x, digits = 4) {
  return Number.isInteger(x) && digits === 4 ? String(x) : (Number(x.toFixed(digits)) + 0).toFixed(digits);
}

// The formula of one entry with the numbers put in.
function words(array, at, values) {
  const {letters, body} = compile(array.rule);
  return fill(body, Object.fromEntries(letters.map((letter, n) => [letter, at[n]])), values);
}

function fill(text, scope, values) {
  for (let start; (start = text.search(/sum\(\w: /)) >= 0;) {
    let depth = 0, end = start + 3;
    do depth += {"(": 1, ")": -1}[text[end++]] || 0; while (depth);
    const letter = text[start + 4], inner = text.slice(start + 7, end - 1);
    const [name, axis] = axisOf(letter, inner);
    const terms = Array.from({length: values[name].shape[axis]},
                             (_, i) => fill(inner, {...scope, [letter]: i}, values));
    text = `${text.slice(0, start)}(${terms.join(" + ")})${text.slice(end)}`;
  }
  const choice = text.match(/^(.*?) \? (.*?) : (.*)$/);
  if (choice) {
    return fill(calculate(fill(choice[1], scope, values), scope) ? choice[2] : choice[3], scope, values);
  }
  while (REFERENCE.test(text)) {
    text = text.replace(REFERENCE, (all, name, at) => {
      const where = at ? at.split(",").map(part => calculate(part, scope)) : [];
      const x = values[name].data[offset(values[name].shape, where)];
      return x < 0 ? `(${number(x)})` : number(x);
    });
  }
  text = text.replace(/\b[a-z]\b/g, letter => letter in scope ? scope[letter] : letter);
  return text.replace(/\((\(-[\d.]+\))\)/g, "$1");
}

function calculate(text, scope) {
  return new Function(...Object.keys(scope), `return ${text};`)(...Object.values(scope));
}

// ---------------------------------------------------------------------------- the page itself

function live(name, record) {
  const byKey = Object.fromEntries(record.arrays.map(a => [key(a.name), a]));
  const article = document.getElementById(name), panel = document.getElementById("panel");
  const values = start(record);
  const cells = {}, moved = {}, slopes = {};
  for (const table of article.querySelectorAll("table")) {
    const [, array, kind] = table.dataset.name.split("/");
    (kind ? moved : cells)[key(array)] = [...table.querySelectorAll("td")];
  }
  const digits = array => array.kind !== "given" || array.name === "scale" ? 4
    : ["b", "label", "M"].includes(array.name) ? 0 : 1;

  function paint(list, data, array) {
    const most = Math.max(...data.map(Math.abs)) || 1;
    list.forEach((cell, i) => {
      const x = data[i], input = cell.querySelector("input");
      if (!input) cell.textContent = (Number(x.toFixed(digits(array))) + 0).toFixed(digits(array));
      cell.className = x < 0 ? "neg" : "pos";
      cell.style.setProperty("--s", (Math.abs(x) / most).toFixed(2));
    });
  }

  function show(array, at) {
    clear();
    const id = key(array.name), i = offset(array.shape, at);
    const label = `${array.name}${at.length ? `[${at.join(", ")}]` : ""}`;
    const lines = [array.kind === "given" ? `${array.name}: ${array.formula}` : array.formula];
    if (array.rule) {
      const found = entry(array, at, values);
      for (const [source, where] of found.sources) {
        cells[source][offset(values[source].shape, where)].classList.add("source");
      }
      lines.push(`${label} = ${words(array, at, values)} = ${found.value.toFixed(4)}`);
    } else {
      lines.push(`${label} = ${number(values[id].data[i])}`);
    }
    if (slopes[id]) {
      lines.push(`moved a little, the loss changes ${slopes[id][i].toFixed(4)} times as much: `
                 + `off by ${Math.abs(slopes[id][i] - values[id].data[i]).toExponential(0)}`);
    }
    cells[id][i].classList.add("here");
    panel.replaceChildren(...lines.map(line => Object.assign(document.createElement("p"),
                                                            {textContent: line})));
  }

  function clear() {
    for (const cell of document.querySelectorAll(".source, .here")) cell.classList.remove("source", "here");
  }

  function refresh() {
    work(record, values);
    for (const array of record.arrays) {
      const id = key(array.name);
      paint(cells[id], values[id].data, array);
      if (moved[id]) {
        slopes[id] = differences(record, values, id.slice(1));
        paint(moved[id], slopes[id], array);
      }
    }
    const {loss, predicted, seen} = stepLoss(record, values);
    const line = article.querySelector(".live");
    line.hidden = false;
    line.textContent = `Now: loss ${loss.toFixed(4)}; after the step, to first order `
      + `${predicted.toFixed(4)}, seen ${seen.toFixed(4)}.`;
  }

  function change(array, i, input) {
    const whole = digits(array) === 0, x = Number(input.value);
    if (input.value === "" || !Number.isFinite(x) || (whole && x !== 0 && x !== 1)) {
      input.setAttribute("aria-invalid", "true");
      return;
    }
    input.removeAttribute("aria-invalid");
    const data = values[key(array.name)].data, old = data[i];
    data[i] = x;
    refresh();
    if (Object.values(values).some(each => !each.data.every(Number.isFinite))) {     // too large for exp
      input.setAttribute("aria-invalid", "true");
      data[i] = old;
      refresh();
    }
  }

  let mouse = "";                                   // a page that scrolls under it moves no mouse
  const pointed = event => mouse !== (mouse = `${event.screenX}, ${event.screenY}`);
  document.addEventListener("mousemove", pointed);

  for (const array of record.arrays) {
    cells[key(array.name)].forEach((cell, i) => {
      const at = positions(array.shape)[i];
      const label = `${array.name} ${at.join(", ")}`;
      if (array.kind === "given") {
        const whole = digits(array) === 0;
        const input = Object.assign(document.createElement("input"), {
          type: "number", step: whole ? 1 : 0.1, value: cell.textContent, ariaLabel: label});
        if (whole) Object.assign(input, {min: 0, max: 1});
        input.addEventListener("input", () => { change(array, i, input); show(array, at); });
        cell.replaceChildren(input);
      } else {
        cell.tabIndex = i ? -1 : 0;                 // Tab goes from array to array, arrows within
        cell.setAttribute("aria-label", label);
        cell.setAttribute("aria-describedby", "panel");
      }
      cell.addEventListener("keydown", event => {
        const width = array.shape.at(-1) || 1;
        const by = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -width, ArrowDown: width}[event.key];
        const next = by && array.kind !== "given" && cells[key(array.name)][i + by];
        if (next) { next.focus(); event.preventDefault(); }
      });
      cell.addEventListener("mouseenter", event => { if (pointed(event)) show(array, at); });
      cell.addEventListener("focusin", () => show(array, at));
    });
  }
  refresh();
}

if (typeof document !== "undefined") {
  const records = JSON.parse(document.getElementById("data").textContent);
  document.getElementById("panel").hidden = false;
  for (const [name, record] of Object.entries(records)) live(name, record);
} else {
  module.exports = {start, work, differences, stepLoss, entry, words, key, positions};
}
