"use strict";
// The page's figures, drawn with Observable Plot from the data in the page; they take its colours.
(() => {
  const { read, select } = window.report;
  const data = read("chart-data");
  const methods = Object.keys(data.kinds);
  const SYMBOLS = { ours: "circle", supervised: "square", blind: "triangle", bound: "triangle2", oracle: "diamond" };
  const LINES = ["var(--accent)", "var(--ink)", "var(--strong-line)", "var(--muted)"];
  const LOWEST = -40; // dB; what lies lower would flatten the rest of a distribution

  const kind = (method) => data.kinds[method];
  const colour = (method) => (kind(method) === "unsupervised" ? "var(--accent)" : "var(--muted)");
  const symbol = (method) => SYMBOLS[kind(method)] ?? "circle";
  const unique = (values) => [...new Set(values)];
  const words = (name) => name.replaceAll("_", " ");
  const metricLabel = (metric) => {
    const { label, unit } = data.metrics[metric] ?? { label: metric, unit: "dB" };
    return unit ? `${label} (${unit})` : label;
  };
  const LETTER = 7.2; // width of a wide one
  const margin = (names, most = 14 + 24 * LETTER) => Math.min(14 + LETTER * Math.max(0, ...names.map((name) => name.length)), most);
  const NAMED = 8; // variants that find room for their names among the dots
  const digits = (value) => (value === null ? "–" : value.toFixed(2).replace("-", "−"));

  const short = (value) => {
    const text = value.toFixed(Math.abs(value) < 9.95 ? 1 : 0);
    return Number(text) === 0 ? "0" : text.replace("-", "−");
  };

  function extent(values) {
    const [low, high] = d3.extent(values.filter((value) => value !== null));
    const room = 0.04 * (high - low || 1);
    return [low - room, high + room];
  }

  const tip = (rows, options) => Plot.tip(rows, { lineHeight: 1.35, textPadding: 10, ...options });

  // Options that every plot shares; the x axis gets room for its label.
  const AXIS = { marginBottom: 44 };

  // Where to write each point's name so that none covers another: [row, dx, dy] by trying places around it.
  function placeNames(rows, { x, y }, name, around = rows) {
    const taken = around.map((row) => ({ x0: x(row) - 6, x1: x(row) + 6, y0: y(row) - 6, y1: y(row) + 6 }));
    const near = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
    return d3.sort(rows, x).map((row) => {
      const places = [-9, 13, -21, 25, -33, 37].map((dy) => {
        const left = x(row) + 7;
        return { dy, x0: left, x1: left + 7.4 * name(row).length, y0: y(row) + dy - 6, y1: y(row) + dy + 6 };
      });
      const place = places.find((box) => !taken.some((other) => near(box, other))) ?? places[0];
      taken.push(place);
      return { row, dy: place.dy };
    });
  }

  // Names at the right end of lines, spread so that lines which meet keep their names apart.
  function endNames(points, options) {
    const sorted = d3.sort(points, (point) => -point[options.y]);
    return sorted.map((point, i) => Plot.text([point], { ...options, textAnchor: "start", dx: 8, dy: 13 * (i - (sorted.length - 1) / 2) }));
  }

  // One plot per panel (such as a source), each under its name; `draw` takes a panel and the width it has.
  function panels(area, names, draw) {
    area.replaceChildren(
      ...names.map((name) => {
        const panel = document.createElement("div");
        if (names.length > 1) {
          const title = document.createElement("h4");
          title.textContent = name;
          panel.append(title);
        }
        return panel;
      }),
    );
    Array.from(area.children).forEach((panel, i) => {
      const plot = draw(names[i], Math.max(260, Math.min(panel.clientWidth, 900)));
      // One image with one name to a screen reader; the marks' own labels mean nothing read aloud.
      const image = document.createElement("div");
      image.setAttribute("role", "img");
      image.setAttribute("aria-label", plot.getAttribute("aria-label"));
      plot.setAttribute("aria-hidden", "true");
      image.append(plot);
      panel.append(image);
    });
  }

  // What an interval is of is drawn: the mean, or the median over tracks.
  const value = (row) => (row.ci_of === "median" ? row.median : row.mean);

  function scores(area, { task, reference, metric }) {
    const rows = data.scores.filter((row) => row.task === task && row.reference === reference && row.metric === metric && value(row) !== null);
    const shown = methods.filter((method) => rows.some((row) => row.method === method));
    const domain = extent(rows.flatMap((row) => [value(row), row.ci_low ?? value(row), row.ci_high ?? value(row)]));
    panels(area, unique(rows.map((row) => row.source)), (source, width) => {
      const mine = rows.filter((row) => row.source === source);
      return Plot.plot({
        ariaLabel: `${metricLabel(metric)} of each method, ${source}, against the ${reference} references`,
        ...AXIS,
        width,
        height: 24 * shown.length + 60,
        marginLeft: margin(shown),
        x: { domain, label: metricLabel(metric), grid: true, nice: true },
        y: { domain: shown, label: null, tickSize: 0, type: "point", padding: 0.7 },
        marks: [
          domain[0] < 0 && domain[1] > 0 ? Plot.ruleX([0], { stroke: "var(--strong-line)" }) : null,
          Plot.ruleY(mine.filter((row) => row.ci_low != null), { x1: "ci_low", x2: "ci_high", y: "method", stroke: (row) => colour(row.method), strokeWidth: 1.75 }),
          Plot.dot(mine, { x: value, y: "method", fill: (row) => colour(row.method), stroke: "var(--paper)", strokeWidth: 1, symbol: (row) => symbol(row.method), r: 5 }),
          tip(mine, Plot.pointerY({ x: value, y: "method", title: (row) => `${row.method}: ${digits(value(row))}\n${row.ci_low == null ? "" : `95 %: ${digits(row.ci_low)} to ${digits(row.ci_high)}\n`}${row.ci_of === "median" ? `mean ${digits(row.mean)}` : `median ${digits(row.median)}`}, n = ${row.n}` })),
        ],
        symbol: { type: "identity" },
      });
    });
  }

  function distributions(area, { task, reference, metric }) {
    const series = data.segments.filter((row) => row.task === task && row.reference === reference && row.metric === metric);
    const shown = methods.filter((method) => series.some((row) => row.method === method));
    const [low, high] = extent(series.flatMap((row) => row.values));
    const domain = [Math.max(low, LOWEST), high];
    panels(area, unique(series.map((row) => row.source)), (source, width) => {
      const mine = series.filter((row) => row.source === source);
      const strokes = mine.flatMap((row) => row.values.map((value, i) => ({ method: row.method, value, name: data.names[row.places[i]] }))).filter((row) => row.value >= domain[0]);
      const boxes = mine.map(({ method, quartiles: [p5, p25, p50, p75, p95], n }) => ({ method, p5: Math.max(p5, domain[0]), p25: Math.max(p25, domain[0]), p50, p75, p95, n }));
      return Plot.plot({
        ariaLabel: `${metricLabel(metric)} of every segment by method, ${source}, against the ${reference} references`,
        ...AXIS,
        width,
        height: 30 * shown.length + 60,
        marginLeft: margin(shown),
        x: { domain, label: metricLabel(metric), grid: true },
        y: { domain: shown, label: null, tickSize: 0, padding: 0.35 },
        marks: [
          domain[0] < 0 && domain[1] > 0 ? Plot.ruleX([0], { stroke: "var(--strong-line)" }) : null,
          Plot.barX(boxes, { x1: "p25", x2: "p75", y: "method", fill: (row) => colour(row.method), fillOpacity: 0.14 }),
          Plot.tickX(strokes, { x: "value", y: "method", stroke: (row) => colour(row.method), strokeOpacity: 0.4, insetTop: 3, insetBottom: 3 }),
          Plot.ruleY(boxes, { x1: "p5", x2: "p95", y: "method", stroke: (row) => colour(row.method) }),
          Plot.tickX(boxes, { x: "p50", y: "method", stroke: (row) => colour(row.method), strokeWidth: 3 }),
          tip(strokes, Plot.pointer({ x: "value", y: "method", title: (row) => `${row.method}\n${row.name}: ${digits(row.value)}` })),
        ],
      });
    });
  }

  function training(area, { model }) {
    const curves = data.training[model];
    const names = Object.keys(curves).filter((name) => name !== "step");
    const points = names.flatMap((name) => curves.step.map((step, i) => ({ name, step, loss: curves[name][i] }))).filter((point) => point.loss !== null);
    const stroke = (point) => LINES[Math.max(0, names.indexOf(point.name)) === 0 ? 3 : 0];
    const last = names.map((name) => points.findLast((point) => point.name === name)).filter(Boolean);
    panels(area, [model], (_, width) =>
      Plot.plot({
        ariaLabel: `Loss of ${model} over training steps`,
        ...AXIS,
        width,
        height: 300,
        marginLeft: 56,
        marginRight: 110,
        x: { label: "step", nice: true },
        y: { label: "loss", grid: true, nice: true },
        marks: [
          Plot.line(points, { x: "step", y: "loss", z: "name", stroke, strokeWidth: 2 }),
          Plot.dot(points, { x: "step", y: "loss", fill: stroke, r: 2.5 }),
...endNames(last, { x: "step", y: "loss", text: (point) => words(point.name), fill: stroke }),
          tip(points, Plot.pointer({ x: "step", y: "loss", title: (point) => `step ${point.step}\n${words(point.name)} ${point.loss.toPrecision(4)}` })),
        ],
      }),
    );
  }

  function comparisons(area, { task, metric }) {
    const rows = data.comparisons.filter((row) => row[0] === task && row[2] === metric && row[5] !== null);
    const both = rows.flatMap(([, source, , a, b, difference, low, high, p, real]) => [
      { source, a, b, difference, low, high, p, real },
      { source, a: b, b: a, difference: -difference, low: low === null ? null : -high, high: low === null ? null : -low, p, real },
    ]);
    const shown = methods.filter((method) => both.some((row) => row.a === method));
    const largest = d3.max(both, (row) => Math.abs(row.difference)) || 1;
    const left = margin(shown);
    panels(area, unique(rows.map((row) => row[1])), (source, width) => {
      const mine = both.filter((row) => row.source === source);
      const roomy = (width - left - 44) / shown.length > 26;
      return Plot.plot({
        ariaLabel: `${metricLabel(metric)}: differences between methods, ${source}`,
        width,
        height: 26 * shown.length + left,
        marginLeft: left,
        marginTop: left,
        marginRight: roomy ? 44 : 8,
        x: { domain: shown, axis: "top", label: null, tickSize: 0, tickRotate: roomy ? -60 : -90 },
        y: { domain: shown, label: null, tickSize: 0 },
        marks: [
          Plot.cell(mine, { x: "b", y: "a", fill: (row) => (row.real ? (row.difference > 0 ? "var(--accent)" : "var(--ink)") : "var(--surface)"), fillOpacity: (row) => (row.real ? 0.1 + (0.25 * Math.abs(row.difference)) / largest : 1), inset: 0.5 }),
          roomy ? Plot.text(mine, { x: "b", y: "a", text: (row) => short(row.difference), fill: (row) => (row.real ? "var(--ink)" : "var(--muted)"), fontSize: 10.5 }) : null,
          tip(mine, Plot.pointer({ x: "b", y: "a", title: (row) => `${row.a} less ${row.b}\n${digits(row.difference)}${row.low === null ? "" : `, 95 %: ${digits(row.low)} to ${digits(row.high)}`}\np = ${row.p.toPrecision(2)} (Holm)` })),
        ],
        opacity: { type: "identity" },
      });
    });
  }

  function cost(area, { task, metric, column }) {
    const rows = data.cost.rows
      .map((row) => {
        const means = data.scores.filter((score) => score.task === task && score.reference === "waveform" && score.metric === metric && score.method === row.method && score.mean !== null);
        return { method: row.method, cost: row[column], score: means.length ? d3.mean(means, (score) => score.mean) : null };
      })
      .filter((row) => row.cost > 0 && row.score !== null);
    const costName = (name) => data.cost.columns.find(([key]) => key === name)[1];
    const powers = d3.range(...d3.extent(rows, (row) => Math.log10(row.cost)).map((power, i) => (i ? Math.ceil(power) + 1 : Math.floor(power)))).map((power) => 10 ** power);
    const scores = extent(rows.map((row) => row.score));
    panels(area, [column], (_, width) => {
      const options = {
        ...AXIS,
        ariaLabel: `${metricLabel(metric)} against ${costName(column)} of each method`,
        width,
        height: 400,
        marginRight: 90,
        x: { type: "log", domain: d3.extent([...powers, ...rows.map((row) => row.cost)]), label: costName(column), ticks: powers, grid: true, tickFormat: "~g" },
        y: { domain: scores, label: `${metricLabel(metric)}, mean over sources`, grid: true, nice: true, ticks: 8 },
        marks: [Plot.dot(rows, { x: "cost", y: "score", fill: (row) => colour(row.method), symbol: (row) => symbol(row.method), r: 5 })],
        symbol: { type: "identity" },
      };
      const [x, y] = ["x", "y"].map((axis) => Plot.plot(options).scale(axis));
      const names = placeNames(rows, { x: (row) => x.apply(row.cost), y: (row) => y.apply(row.score) }, (row) => row.method);
      for (const [dy, group] of d3.group(names, (name) => name.dy)) {
        options.marks.push(Plot.text(group, { x: (name) => name.row.cost, y: (name) => name.row.score, text: (name) => name.row.method, fill: (name) => colour(name.row.method), textAnchor: "start", dx: 7, dy }));
      }
      options.marks.push(tip(rows, Plot.pointer({ x: "cost", y: "score", title: (row) => `${row.method}: ${digits(row.score)}\n${costName(column)} ${d3.format(".4~g")(row.cost)}` })));
      return Plot.plot(options);
    });
  }

  function steps(area, { metric }) {
    const rows = data.steps.filter((row) => row[metric] !== null);
    const sources = unique(rows.map((row) => row.source));
    const stroke = (row) => LINES[sources.indexOf(row.source) % LINES.length];
    const last = sources.map((source) => d3.greatest(rows.filter((row) => row.source === source), (row) => row.steps));
    const times = d3.flatRollup(data.steps.filter((row) => row.real_time_factor !== null), (group) => d3.mean(group, (row) => row.real_time_factor), (row) => row.steps).map(([steps, time]) => ({ steps, time }));
    const x = { type: "log", label: "sampling steps", ticks: unique(rows.map((row) => row.steps)), tickFormat: "~g" };
    const plots = {
      [metricLabel(metric)]: (width) => ({
        ariaLabel: `${metricLabel(metric)} against the number of sampling steps`,
        marginRight: 70,
        y: { label: null, grid: true, nice: true },
        marks: [
          Plot.line(rows, { x: "steps", y: metric, z: "source", stroke, strokeWidth: 2 }),
          Plot.dot(rows, { x: "steps", y: metric, fill: stroke, r: 3 }),
          ...endNames(last, { x: "steps", y: metric, text: "source", fill: stroke }),
          tip(rows, Plot.pointer({ x: "steps", y: metric, title: (row) => `${row.source}, ${row.steps} steps: ${digits(row[metric])}` })),
        ],
      }),
      "Real-time factor": (width) => ({
        ariaLabel: "Real-time factor against the number of sampling steps",
        marginLeft: 52,
        y: { label: "seconds of work for a second of audio", grid: true, nice: true, zero: true },
        marks: [
          Plot.line(times, { x: "steps", y: "time", stroke: "var(--ink)", strokeWidth: 2 }),
          Plot.dot(times, { x: "steps", y: "time", fill: "var(--ink)", r: 3 }),
          tip(times, Plot.pointer({ x: "steps", y: "time", title: (row) => `${row.steps} steps: ${d3.format(".3~g")(row.time)}` })),
        ],
      }),
    };
    panels(area, Object.keys(plots), (name, width) => Plot.plot({ ...AXIS, width, height: 320, x, ...plots[name](width) }));
  }

  function ablation(area, { metric }) {
    const runs = data.ablation.runs.filter((run) => run[metric] !== null);
    panels(area, unique(runs.map((run) => run.task)), (task, width) => {
      const mine = runs.filter((run) => run.task === task);
      const variants = unique(mine.map((run) => run.variant));
      const left = margin(variants, 0.55 * width);
      const letters = Math.floor((left - 14) / LETTER);
      return Plot.plot({
        ariaLabel: `${metricLabel(metric)} by variant, ${task}`,
        ...AXIS,
        width,
        height: 28 * variants.length + 60,
        marginLeft: left,
        x: { domain: extent(mine.map((run) => run[metric])), label: `${metricLabel(metric)}, mean over sources`, grid: true },
        y: { domain: variants, label: null, tickSize: 0, padding: 0.35, tickFormat: (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name) },
        marks: [
          Plot.dot(mine, { x: metric, y: "variant", fill: "var(--muted)", fillOpacity: 0.6, r: 4 }),
          Plot.tickX(mine, Plot.groupY({ x: "mean" }, { x: metric, y: "variant", stroke: "var(--accent)", strokeWidth: 3 })),
          tip(mine, Plot.pointer({ x: metric, y: "variant", title: (run) => `${run.variant}, seed ${run.seed}: ${digits(run[metric])}` })),
        ],
      });
    });
  }

  // A dot per training, those of a variant joined; where there are few, its name stands at the middle one.
  function criterion(area, { metric }) {
    const runs = data.ablation.runs.filter((run) => run[metric] !== null && run.consistency !== null);
    panels(area, unique(runs.map((run) => run.task)), (task, width) => {
      const mine = runs.filter((run) => run.task === task);
      const groups = Array.from(d3.group(mine, (run) => run.variant).values(), (group) => d3.sort(group, (run) => run.consistency));
      const middles = groups.length > NAMED ? [] : groups.map((group) => group[group.length >> 1]);
      const options = {
        ariaLabel: `${metricLabel(metric)} of each training against the consistency of its remixes, ${task}`,
        ...AXIS,
        width,
        height: 400,
        marginRight: margin(middles.map((run) => run.variant), 0.4 * width),
        x: { domain: extent(mine.map((run) => run.consistency)), label: "remix consistency (dB), without true sources", grid: true },
        y: { domain: extent(mine.map((run) => run[metric])), label: `${metricLabel(metric)}, mean over sources`, grid: true },
        marks: [
          Plot.line(groups.flat(), { x: "consistency", y: metric, z: "variant", stroke: "var(--strong-line)", strokeOpacity: 0.5 }),
          Plot.dot(mine, { x: "consistency", y: metric, fill: "var(--accent)", stroke: "var(--paper)", r: 4.5 }),
        ],
      };
      const [x, y] = ["x", "y"].map((axis) => Plot.plot(options).scale(axis));
      const names = placeNames(middles, { x: (run) => x.apply(run.consistency), y: (run) => y.apply(run[metric]) }, (run) => run.variant, mine);
      for (const [dy, group] of d3.group(names, (name) => name.dy)) {
        options.marks.push(Plot.text(group, { x: (name) => name.row.consistency, y: (name) => name.row[metric], text: (name) => name.row.variant, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4, textAnchor: "start", dx: 7, dy }));
      }
      options.marks.push(tip(mine, Plot.pointer({ x: "consistency", y: metric, title: (run) => `${run.variant}, seed ${run.seed}\n${metricLabel(metric)} ${digits(run[metric])}\nremix consistency ${digits(run.consistency)} dB` })));
      return Plot.plot(options);
    });
  }

  const labelled = (metrics) => metrics.map((metric) => [metric, data.metrics[metric]?.label ?? metric]);
  const preferred = (metrics) => labelled(unique(metrics).sort((a, b) => (b === "si_sdr") - (a === "si_sdr")));
  const tasks = unique(data.scores.map((row) => row.task));
  const waveformFirst = (rows) => unique(rows.map((row) => row.reference)).sort((a, b) => (b === "waveform") - (a === "waveform"));
  const CHARTS = {
    scores: [scores, { task: tasks, metric: preferred(data.scores.map((row) => row.metric)), reference: waveformFirst(data.scores) }],
    distributions: [distributions, { task: tasks, metric: preferred(data.segments.map((row) => row.metric)), reference: waveformFirst(data.segments) }],
    comparisons: [comparisons, { task: tasks, metric: preferred(data.comparisons.map((row) => row[2])) }],
    training: [training, { model: Object.keys(data.training) }],
    cost: [cost, { task: tasks, metric: preferred(data.scores.map((row) => row.metric)), column: data.cost.columns ?? [] }],
    steps: [steps, { metric: labelled(["si_sdr", "si_sir"]) }],
    ablation: [ablation, { metric: labelled(["si_sdr", "si_sir"].filter((metric) => data.ablation.runs.some((run) => metric in run))) }],
    criterion: [criterion, { metric: labelled(["si_sdr", "si_sir"].filter((metric) => data.ablation.runs.some((run) => metric in run))) }],
  };

  for (const figure of document.querySelectorAll("[data-chart]")) {
    const [draw, choices] = CHARTS[figure.dataset.chart];
    const area = figure.querySelector(".plots");
    const form = figure.querySelector("form");
    figure.querySelector(".download").href = area.querySelector("img").src;
    const chosen = {};
    for (const [key, options] of Object.entries(choices)) {
      chosen[key] = Array.isArray(options[0]) ? options[0][0] : options[0];
      if (options.length > 1) form.append(select(key === "column" ? "cost" : key, options, (value) => ((chosen[key] = value), draw(area, chosen))));
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    let width = 0;
    new ResizeObserver(() => {
      if (Math.abs(area.clientWidth - width) > 8) draw(area, chosen);
      width = area.clientWidth;
    }).observe(area);
  }
})();
