"""A page as a browser reads it."""

from html.parser import HTMLParser

EMPTY = {"meta", "br", "hr", "img", "input", "link", "path", "use", "rect", "circle", "line", "stop"}


class Page(HTMLParser):
    """Checks while it reads: nesting, and that no attribute runs anything; text: what a reader sees, by section."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.sections: list[str] = []
        self.text: dict[str, str] = {"": ""}
        self.scripts = 0
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        assert len(named) == len(attributes), (tag, attributes)
        assert not [key for key in named if key.startswith("on")], (tag, attributes)
        if tag not in EMPTY:
            self.open.append(tag)
        self.ids += [named["id"]] if "id" in named else []
        self.loads += [named[key] for key in ("src", "srcset", "data") if key in named]
        self.links += [named["href"]] if "href" in named else []
        self.scripts += tag == "script"
        if tag == "section":
            self.sections.append(named["id"])
            self.text[named["id"]] = ""

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in EMPTY:
            assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text[self.sections[-1] if "section" in self.open else ""] += data

    def all(self) -> str:
        return " ".join(" ".join(self.text.values()).replace("\u00a0", " ").split())
