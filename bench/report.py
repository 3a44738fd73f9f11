"""Figures and how they are shown: medians with their spread, tables, aims, Markdown and JSON.

What belongs here: arithmetic on measured values and their presentation. What does not: measuring.
"""

import dataclasses
import json
import statistics


def number(value):
    """Three significant digits, no exponent; thousands separated."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.1 else 4
    return f"{value:.{decimals}f}"


class Series:
    """Repeated measurements of one thing."""

    def __init__(self, values=()):
        self.values = list(values)

    def add(self, value):
        """One more measurement."""
        self.values.append(value)

    @property
    def median(self):
        """None without measurements."""
        return statistics.median(self.values) if self.values else None

    def over(self, other):
        """The ratio to another series, run by run."""
        return Series(a / b for a, b in zip(self.values, other.values) if b)

    def __str__(self):
        if not self.values:
            return "–"
        if len(self.values) == 1:
            return number(self.values[0])
        return f"{number(self.median)} ({number(min(self.values))}..{number(max(self.values))})"

    def to_json(self):
        """What the JSON file keeps."""
        return {"median": self.median, "values": self.values}


@dataclasses.dataclass
class Aim:
    """What a figure should be: at most (or at least) limit."""

    what: str
    measured: float | None
    limit: float
    unit: str
    at_most: bool = True

    @property
    def met(self):
        """None when it could not be measured."""
        if self.measured is None:
            return None
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def cells(self):
        """A row of the table of aims."""
        verdict = {None: "not measured", True: "met", False: "**missed**"}[self.met]
        return [self.what, f"{'≤' if self.at_most else '≥'} {number(self.limit)} {self.unit}",
                f"{number(self.measured)} {self.unit}" if self.measured is not None else "–", verdict]


@dataclasses.dataclass
class Table:
    """One table of results; cells are text, numbers or Series."""

    title: str
    header: list
    rows: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def markdown(self):
        """The table with its title and notes."""
        def line(cells):
            return "| " + " | ".join(c if isinstance(c, str) else str(c) if isinstance(c, Series) else number(c)
                                     for c in cells) + " |"
        marks = ["---"] + ["--:"] * (len(self.header) - 1)
        return "\n".join([f"**{self.title}**", "", line(self.header), "|" + "|".join(marks) + "|",
                          *map(line, self.rows), *(f"\n{note}" for note in self.notes)])

    def to_json(self):
        """The same with all values."""
        return {"title": self.title, "header": self.header, "notes": self.notes,
                "rows": [[c.to_json() if isinstance(c, Series) else c for c in row] for row in self.rows]}


class Report:
    """What one sub-benchmark found out."""

    def __init__(self, name):
        self.name = name
        self.tables, self.aims, self.failures = [], [], []
        self.seconds = None

    def table(self, title, header, notes=()):
        """Starts a table and returns it."""
        self.tables.append(Table(title, header, notes=list(notes)))
        return self.tables[-1]

    def aim(self, *args, **kwargs):
        """Notes an aim; a missed aim is shown and is no failure."""
        self.aims.append(Aim(*args, **kwargs))

    def check(self, right, what):
        """Notes a failure unless right: a wrong result makes its figure worthless, and the run fails."""
        if not right:
            self.failures.append(what)

    def markdown(self):
        """Heading, failures, tables."""
        took = f" ({self.seconds:.0f} s)" if self.seconds is not None else ""
        return "\n\n".join([f"### {self.name}{took}", *(f"**WRONG: {failure}**" for failure in self.failures),
                            *(table.markdown() for table in self.tables)])

    def to_json(self):
        """Everything."""
        return {"name": self.name, "seconds": self.seconds, "failures": self.failures,
                "aims": [dict(dataclasses.asdict(aim), met=aim.met) for aim in self.aims],
                "tables": [table.to_json() for table in self.tables]}


def document(reports, machine, quick):
    """The whole result as Markdown."""
    parts = ["## observ: make bench" + (" (quick form: checks results, its figures mean nothing)" if quick else ""),
             "\n".join(f"- {name}: {value}" for name, value in machine.items())]
    aims = [aim for report in reports for aim in report.aims]
    if aims:
        table = Table("Aims", ["what", "aim", "median measured", ""], [aim.cells() for aim in aims])
        parts.append(table.markdown())
    parts += [report.markdown() for report in reports]
    return "\n\n".join(parts) + "\n"


def as_json(reports, machine, quick):
    """The whole result for programs."""
    return json.dumps({"quick": quick, "machine": machine, "reports": [r.to_json() for r in reports]}, indent=1,
                      ensure_ascii=False) + "\n"
