// Shows /openapi.json; made here, so that it needs nothing from elsewhere.

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}

/** Text whose parts in backticks are code. */
function prose(told) {
  const parts = told.split("`").map((part, index) => (index % 2 === 1 ? element("code", part) : part));
  return element("p", ...parts);
}

function table(rows) {
  return element("table", element("tbody", ...rows.map(([name, kind, about]) => {
    const cells = [element("th", name), element("td", kind), element("td", prose(about))];
    cells[1].className = "kind";
    return element("tr", ...cells);
  })));
}

/** A type in a few words. */
function kindOf(schema = {}) {
  if (schema.$ref) {
    return schema.$ref.split("/").pop();
  }
  if (schema.anyOf) {
    return schema.anyOf.map(kindOf).join(" or ");
  }
  if (schema.type === "array") {
    return `list of ${kindOf(schema.items)}`;
  }
  return schema.format === "binary" ? "file" : schema.type ?? "any";
}

function bodyRows(body) {
  const kinds = Object.entries(body?.content ?? {});
  return kinds.flatMap(([kind, { schema }]) =>
    Object.entries(schema.properties ?? {}).map(([name, field]) => [name, kind, field.description ?? ""]),
  );
}

function answerRows(responses) {
  return Object.entries(responses).map(([status, answer]) => {
    const kinds = Object.entries(answer.content ?? {}).map(([kind, { schema }]) =>
      schema?.$ref ? kindOf(schema) : kind,
    );
    return [status, kinds.join(", "), answer.description];
  });
}

function operation(path, method, told) {
  const parameters = (told.parameters ?? []).map((parameter) => [
    parameter.name,
    `${kindOf(parameter.schema)}, in ${parameter.in}`,
    parameter.description ?? "",
  ]);
  const made = element(
    "article",
    element("h2", element("b", method.toUpperCase()), path),
    prose(told.description ?? told.summary ?? ""),
    table([...parameters, ...bodyRows(told.requestBody)]),
    table(answerRows(told.responses)),
  );
  return made;
}

function schema(name, told) {
  const rows = Object.entries(told.properties ?? {}).map(([field, about]) => [
    field,
    kindOf(about),
    about.description ?? "",
  ]);
  return element("article", element("h2", name), prose(told.description ?? ""), table(rows));
}

const api = await (await fetch("openapi.json")).json();
document.getElementById("about").append(prose(api.info.description));
document.getElementById("operations").append(
  ...Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, told]) => operation(path, method, told)),
  ),
);
document.getElementById("schemas").append(
  ...Object.entries(api.components?.schemas ?? {}).map(([name, told]) => schema(name, told)),
);
