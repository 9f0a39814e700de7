// Reads the rows of a batch from CSV or JSON Lines, and writes results in both.

const LINE = /\r\n|\n|\r/;

/** Return the items of a text; throws an Error with `line` for a line that cannot be read. */
export function parseRows(text, integers = new Set()) {
  const content = text.replace(/^\ufeff/, "");
  const items = content.trimStart().startsWith("{") ? parseJsonLines(content) : parseTable(content, integers);
  const taken = new Set(items.map(({ ref }) => ref));
  return items.map((item, index) => {
    let ref = item.ref ?? `row-${index + 1}`;
    while (item.ref === undefined && taken.has(ref)) ref += "-";
    return { ...item, ref };
  });
}

function parseJsonLines(text) {
  return text.split(LINE).flatMap((line, index) => {
    if (!line.trim()) return [];
    try {
      const item = JSON.parse(line);
      if (item && typeof item === "object" && !Array.isArray(item)) return [item];
    } catch { /* the error below says where */ }
    throw Object.assign(new Error(), { line: index + 1 });
  });
}

function parseTable(text, integers) {
  const [header = [], ...records] = parseCsv(text);
  return records.filter((cells) => cells.some((cell) => cell.trim())).map((cells, index) => {
    if (cells.length > header.length) throw Object.assign(new Error(), { line: index + 2 });
    const item = {};
    header.forEach((column, position) => {
      const name = column.trim(), value = (cells[position] ?? "").trim();
      if (!name || !value) return;
      const attribute = name.match(/^attributes\.(.+)$/)?.[1];
      if (attribute) (item.attributes ??= {})[attribute] = integers.has(attribute) && /^\d{1,15}$/.test(value) ? Number(value) : value;
      else item[name] = name === "owners" ? value.split(/[\s,;]+/) : value;
    });
    return item;
  });
}

/** Return the cells of each line (RFC 4180); a tab separates cells too if the first line has one. */
function parseCsv(text) {
  const separator = text.split(LINE, 1)[0].includes("\t") ? "\t" : ",";
  const records = [[]];
  let cell = "", isQuoted = false;
  const endCell = () => { records.at(-1).push(cell); cell = ""; };
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (isQuoted && character === '"' && text[index + 1] === '"') { cell += '"'; index += 1; }
    else if (character === '"' && (isQuoted || cell === "")) isQuoted = !isQuoted;
    else if (!isQuoted && character === separator) endCell();
    else if (!isQuoted && (character === "\n" || character === "\r")) {
      if (character === "\r" && text[index + 1] === "\n") index += 1;
      endCell();
      records.push([]);
    } else cell += character;
  }
  endCell();
  return records;
}

/** Return CSV. A spreadsheet takes cells that begin like this for formulas, so they get an apostrophe. */
export function toCsv(columns, rows) {
  const cell = (value) => `"${String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((cells) => cells.map(cell).join(",")).join("\r\n");
}

export const toJsonLines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
