// Tables whose rows stay in place while their figures change.

// Writes a text only if it has changed, so that selections and screen readers are not disturbed.
export function put(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

// Gives a table's body these rows of texts, the first of each its heading; `dress` is called with each new row.
export function fill(body, rows, dress = () => {}) {
  while (body.rows.length > rows.length) {
    body.lastElementChild.remove();
  }
  rows.forEach((texts, number) => {
    if (!body.rows[number]) {
      body.append(rowOf(texts.length));
      dress(body.rows[number], number);
    }
    write(body.rows[number], texts);
  });
}

// Writes texts into a row's cells.
export function write(row, texts) {
  texts.forEach((text, column) => put(row.cells[column].querySelector(".text") ?? row.cells[column], text));
}

function rowOf(columns) {
  const row = document.createElement("tr");
  const heading = document.createElement("th");
  heading.scope = "row";
  // The text has its own element, so that a sign can be put beside it.
  const text = document.createElement("span");
  text.className = "text";
  heading.append(text);
  row.append(heading);
  for (let column = 1; column < columns; column++) {
    row.insertCell().className = "number";
  }
  return row;
}
