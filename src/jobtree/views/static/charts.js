// The charts that report and dashboard share, made with ECharts. Texts are drawn on a canvas, never parsed as HTML.
"use strict";
const Charts = (() => {
  const PALETTE = ["#4e79a7", "#59a14f", "#f28e2b", "#b07aa1", "#76b7b2", "#edc948", "#9c755f", "#ff9da7", "#86bcb6", "#8cd17d", "#d4a6c8", "#a0cbe8"];
  const FAILED = "#d62728";
  const MIXED = "#9aa0a6";
  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  const ink = () => (dark() ? "#d8dee9" : "#24292f");
  const faint = () => (dark() ? "#8a94a6" : "#6b7280");
  const grid = () => (dark() ? "#333a47" : "#e5e7eb");
  const paper = () => (dark() ? "#1d222b" : "#ffffff");
  const waiting = () => (dark() ? "rgba(180,188,200,.35)" : "rgba(110,118,130,.35)");
  const made = new Map();

  function chart(element) {
    const known = echarts.getInstanceByDom(element);
    if (known) return known;
    const drawn = echarts.init(element, null, { renderer: "canvas" });
    new ResizeObserver(() => drawn.resize()).observe(element);
    return drawn;
  }

  // Draws now, and again when the reader's screen turns dark or light.
  function show(element, option) {
    const drawn = chart(element);
    const draw = () => {
      const chosen = (drawn.getOption() || {}).dataZoom || [];
      const fresh = withColours(option());
      (fresh.dataZoom || []).forEach((zoom, i) => { if (chosen[i]) Object.assign(zoom, { start: chosen[i].start, end: chosen[i].end }); });
      drawn.setOption(fresh, true);
    };
    draw();
    made.set(element, draw);
    return draw;
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => made.forEach(draw => draw()));

  function withColours(option) {
    option.backgroundColor = "transparent";
    option.color = PALETTE;
    option.textStyle = { color: ink(), fontFamily: "system-ui, sans-serif" };
    option.animation = false;
    option.tooltip = Object.assign({ renderMode: "richText", confine: true, backgroundColor: paper(), borderColor: grid(), textStyle: { color: ink(), fontSize: 12 } }, option.tooltip);
    for (const key of ["xAxis", "yAxis"]) {
      for (const axis of [].concat(option[key] || [])) {
        axis.axisLine = Object.assign({ lineStyle: { color: faint() } }, axis.axisLine);
        axis.axisLabel = Object.assign({ color: faint() }, axis.axisLabel);
        axis.splitLine = Object.assign({ lineStyle: { color: grid() } }, axis.splitLine);
        axis.nameTextStyle = Object.assign({ color: faint() }, axis.nameTextStyle);
      }
    }
    if (option.legend) option.legend = Object.assign({ textStyle: { color: ink() }, type: "scroll", top: 0, pageTextStyle: { color: ink() }, pageIconColor: ink() }, option.legend);
    return option;
  }

  function duration(seconds) {
    const sign = seconds < 0 ? "-" : "";
    seconds = Math.abs(seconds);
    if (seconds > 0 && seconds < 0.0005) return sign + Math.max(1, Math.round(seconds * 1e6)) + "µs";
    if (seconds < 1) return sign + (seconds === 0 ? "0s" : seconds.toPrecision(2).replace(/\.?0+$/, "") + "s");
    if (seconds < 60) return sign + seconds.toFixed(seconds < 10 ? 1 : 0).replace(/\.0$/, "") + "s";
    const whole = Math.round(seconds), parts = [];
    for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]]) {
      const amount = Math.floor(unit === "d" ? whole / size : (whole % { h: 86400, m: 3600, s: 60 }[unit]) / size);
      if (amount) parts.push(amount + unit);
    }
    return sign + parts.slice(0, 2).join("");
  }

  function size(bytes) {
    let unit = 0;
    while (bytes >= 1024 && unit < 5) { bytes /= 1024; unit += 1; }
    return Number(bytes.toPrecision(3)) + ["", "K", "M", "G", "T", "P"][unit];
  }

  const number = count => count.toLocaleString("en");
  const colour = name => (name < 0 ? MIXED : PALETTE[name % PALETTE.length]);

  // data: {lanes: [[worker, place]], names, workers: {number: name}, bars: [[lane, start, end, name, count, failed, ready]]}
  function timeline(element, data) {
    const bars = data.bars, rows = data.lanes.length;
    element.style.height = Math.max(160, Math.min(900, rows * 22 + 90)) + "px";
    const label = lane => (data.lanes[lane][1] === 0 ? data.workers[data.lanes[lane][0]] || "w" + data.lanes[lane][0] : "");
    return show(element, () => ({
      grid: { left: 8, right: 16, top: 30, bottom: 56, containLabel: true },
      legend: { data: data.names.map((name, i) => ({ name, itemStyle: { color: colour(i) } })), selectedMode: false },
      tooltip: { formatter: item => words(item.value) },
      xAxis: { type: "value", axisLabel: { formatter: duration }, min: 0 },
      yAxis: { type: "category", data: data.lanes.map((_, lane) => lane), inverse: true, axisTick: { show: false }, axisLabel: { formatter: lane => label(Number(lane)), interval: 0, width: 120, overflow: "truncate" }, splitLine: { show: false } },
      dataZoom: [{ type: "inside", filterMode: "weakFilter" }, { type: "slider", filterMode: "weakFilter", height: 18, bottom: 8, labelFormatter: duration, borderColor: grid(), textStyle: { color: faint() } }],
      series: [
        { type: "custom", data: bars, encode: { x: [1, 2], y: 0 }, clip: true, renderItem: bar, large: false, progressive: 0 },
        ...data.names.map((name, i) => ({ name, type: "bar", data: [], itemStyle: { color: colour(i) } })),
      ],
    }));
    function words(value) {
      const [lane, start, end, name, count, failed, ready] = value;
      const what = name < 0 ? "various targets" : data.names[name];
      const lines = [count > 1 ? `${number(count)} × ${what}` : what, `${duration(start)} – ${duration(end)} (${duration(end - start)})`];
      if (count === 1 && start - ready > 0.001) lines.push(`waited ${duration(start - ready)} for a worker`);
      if (failed) lines.push(count > 1 ? `${number(failed)} failed` : "failed");
      lines.push(data.workers[data.lanes[lane][0]] || "w" + data.lanes[lane][0]);
      return lines.join("\n");
    }
    function bar(params, api) {
      const value = k => api.value(k);
      const from = api.coord([value(1), value(0)]), to = api.coord([value(2), value(0)]), wait = api.coord([value(6), value(0)]);
      const height = Math.max(2, api.size([0, 1])[1] * 0.66), area = params.coordSys;
      const clip = shape => echarts.graphic.clipRectByRect(shape, { x: area.x, y: area.y, width: area.width, height: area.height });
      const children = [];
      const body = clip({ x: from[0], y: from[1] - height / 2, width: Math.max(1, to[0] - from[0]), height });
      if (value(4) === 1 && from[0] - wait[0] > 1) {
        const grey = clip({ x: wait[0], y: from[1] + height * 0.28, width: from[0] - wait[0], height: height * 0.22 });
        if (grey) children.push({ type: "rect", shape: grey, style: { fill: waiting() }, silent: true });
      }
      if (body) {
        const style = { fill: colour(value(3)) };
        if (value(5) && value(4) === value(5)) style.fill = FAILED;
        children.push({ type: "rect", shape: body, style });
        if (value(5) && value(4) !== value(5)) children.push({ type: "rect", shape: { x: body.x, y: body.y, width: body.width, height: 3 }, style: { fill: FAILED }, silent: true });
      }
      return { type: "group", children };
    }
  }

  // data: {seconds, running, ready, busy_cpus, cpus}
  function usage(element, data) {
    const points = values => values.map((value, i) => [i * data.seconds, value]);
    const line = (name, values, more) => Object.assign({ name, type: "line", step: "end", showSymbol: false, data: points(values), lineStyle: { width: 1.5 } }, more);
    return show(element, () => ({
      grid: [{ left: 56, right: 16, top: 34, height: "34%" }, { left: 56, right: 16, bottom: 34, height: "34%" }],
      legend: { data: ["cpus with a target", "cpus there", "running", "ready, waiting for a worker"] },
      tooltip: { trigger: "axis", formatter: items => [duration(items[0].value[0]), ...items.map(item => `${item.seriesName}: ${Number(item.value[1].toFixed(2))}`)].join("\n") },
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      xAxis: [0, 1].map(i => ({ type: "value", gridIndex: i, min: 0, max: data.seconds * data.running.length, axisLabel: { formatter: duration, show: i === 1 } })),
      yAxis: [{ type: "value", name: "cpus", gridIndex: 0, minInterval: 1 }, { type: "value", name: "targets", gridIndex: 1, minInterval: 1 }],
      series: [
        line("cpus there", data.cpus, { lineStyle: { color: faint(), width: 1.5, type: "dashed" }, itemStyle: { color: faint() } }),
        line("cpus with a target", data.busy_cpus, { areaStyle: { opacity: 0.25 }, itemStyle: { color: PALETTE[1] }, lineStyle: { color: PALETTE[1], width: 1.5 } }),
        line("running", data.running, { xAxisIndex: 1, yAxisIndex: 1, itemStyle: { color: PALETTE[0] }, lineStyle: { color: PALETTE[0], width: 1.5 } }),
        line("ready, waiting for a worker", data.ready, { xAxisIndex: 1, yAxisIndex: 1, itemStyle: { color: PALETTE[2] }, lineStyle: { color: PALETTE[2], width: 1.5 } }),
      ],
    }));
  }

  // rows: [{name, box: [five numbers], limit: number or null}]
  function boxes(element, rows, format) {
    const shown = rows.filter(row => row.box.length);
    element.style.height = Math.max(120, shown.length * 30 + 70) + "px";
    const most = Math.max(1, ...shown.map(row => Math.max(row.box[4], row.limit || 0)));
    const interval = format === size ? 2 ** Math.ceil(Math.log2(most / 6)) : undefined;
    return show(element, () => ({
      grid: { left: 8, right: 24, top: 12, bottom: 28, containLabel: true },
      tooltip: { formatter: item => {
        const row = shown[item.dataIndex], [low, q1, median, q3, high] = row.box.map(format);
        return [row.name, `median ${median}`, `half of them ${q1} – ${q3}`, `all ${low} – ${high}`, ...(row.limit ? [`asked for ${format(row.limit)}`] : [])].join("\n");
      } },
      xAxis: { type: "value", axisLabel: { formatter: format }, min: 0, interval },
      yAxis: { type: "category", inverse: true, data: shown.map(row => row.name), axisTick: { show: false }, splitLine: { show: false }, axisLabel: { width: 160, overflow: "truncate", color: ink() } },
      series: [
        { type: "boxplot", data: shown.map(row => row.box), itemStyle: { color: dark() ? "#2f4a66" : "#cfe0f1", borderColor: PALETTE[0] }, boxWidth: [6, 16] },
        { type: "scatter", symbol: "rect", symbolSize: [3, 20], data: shown.map((row, i) => (row.limit ? [row.limit, i] : [NaN, i])), itemStyle: { color: FAILED }, tooltip: { formatter: item => `${shown[item.value[1]].name} asked for ${format(item.value[0])}` } },
      ],
    }));
  }

  // places: [{name, count, own, value, children}]; an icicle: who created whom from left to right, the height is the cost.
  function icicle(element, places, names) {
    const rows = [], depths = [];
    const walk = (place, level, from, above) => {
      const path = above.concat(place.name);
      rows.push([level, from, from + place.value, names.indexOf(place.name), rows.length]);
      depths[level] = true;
      rows[rows.length - 1].place = Object.assign({ path }, place);
      let at = from;
      for (const child of place.children) at = walk(child, level + 1, at, path);
      return from + place.value;
    };
    let end = 0;
    for (const place of places) end = walk(place, 0, end, []);
    const data = rows.map(row => row.slice(0, 5)), info = rows.map(row => row.place);
    return show(element, () => ({
      grid: { left: 0, right: 0, top: 4, bottom: 4 },
      tooltip: { formatter: item => {
        const place = info[item.value[4]];
        return [place.path.slice(-6).join(" › "), `${number(place.count)} attempts`, `${duration(place.value)} with all below, ${duration(place.own)} its own`].join("\n");
      } },
      xAxis: { type: "value", min: 0, max: Math.max(1, depths.length), show: false },
      yAxis: { type: "value", min: 0, max: end || 1, inverse: true, show: false },
      series: [{ type: "custom", data, encode: { x: 0, y: 1 }, renderItem: (params, api) => {
        const a = api.coord([api.value(0), api.value(1)]), b = api.coord([api.value(0) + 1, api.value(2)]);
        const width = b[0] - a[0] - 1, height = Math.max(0.5, b[1] - a[1] - (b[1] - a[1] > 3 ? 1 : 0));
        const place = info[api.value(4)];
        const room = height > 12 && width > 30;
        return { type: "rect", shape: { x: a[0], y: a[1], width, height }, style: { fill: colour(api.value(3)), opacity: 0.9 },
          textContent: room ? { style: { text: `${place.name}  ${duration(place.value)}`, fill: "#fff", width: width - 8, overflow: "truncate", fontSize: 11 } } : undefined,
          textConfig: room ? { position: "insideLeft", inside: true } : undefined };
      } }],
    }));
  }

  return { timeline, usage, boxes, icicle, show, duration, size, number, colour, PALETTE, FAILED };
})();
