"""A hook of MkDocs: pages at the root of the project, where people look for them, are of the site too."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from local.bootstrap import ROOT

PAGES = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, by their names in lower case."""
    for page in PAGES:
        text = within_site((ROOT / page).read_text("utf-8"))
        files.append(File.generated(config, page.lower(), content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Let links to those pages, which lead out of docs/, be links within the site."""
    for page in PAGES:
        markdown = markdown.replace(f"](../{page}", f"]({page.lower()}")
    return markdown


def within_site(text: str) -> str:
    """Let links into docs/ be links within the site, and take those to what the site does not hold off."""
    linked = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#|[\w/-]+\.md)[^)]+\)", r"\1", linked)
