"""What the pages for people point to is there."""

import re

import tensorflow as tf

from tests.helpers import ROOT


class LinksTest(tf.test.TestCase):
    def test_every_file_that_a_page_links_to_exists(self):
        pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tfvideogan/weights/*/card.md")]
        links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)", page.read_text())]
        files = [(page, link) for page, link in links if not re.match(r"[a-z]+:", link)]
        self.assertGreater(len(files), 60)
        absent = [f"{page.relative_to(ROOT)}: {link}" for page, link in files if not (page.parent / link).exists()]
        self.assertEmpty(absent)


if __name__ == "__main__":
    tf.test.main()
