// The key of a name: names that the server folds to one (kpis/catalog/folding.py) have one key, other names have others.
const DOTLESS = "\u0131"; // whose capital is that of another letter

export function fold(name) {
  // Lower, upper, lower: no single conversion makes ß, ẞ and ss equal.
  const key = (part) => part.normalize("NFD").toLowerCase().toUpperCase().toLowerCase().normalize("NFC");
  return name.split(DOTLESS).map(key).join(DOTLESS);
}
