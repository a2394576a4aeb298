"""Lines for `spam.py`, ``label<TAB>message``, from mails in files, such as SpamAssassin's corpus.

    python benchmarks/mails.py --ham easy_ham hard_ham --spam spam spam_2 > mails.tsv
    python benchmarks/spam.py --corpus mails.tsv --protocols unsupervised --features words

A message is its subject and the text of its parts, without the tags of HTML. The corpus is at
https://spamassassin.apache.org/old/publiccorpus/.
"""

import argparse
import email
import html
import re
import sys
from pathlib import Path

INVISIBLE = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def text_of(raw):
    """Subject and text of a mail on one line."""
    mail = email.message_from_bytes(raw)
    texts = [str(mail.get("Subject", ""))]
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            text = (part.get_payload(decode=True) or b"").decode("latin-1")
            if part.get_content_subtype() == "html":
                text = html.unescape(INVISIBLE.sub(" ", text))
            texts.append(text)
    return " ".join(" ".join(texts).split())


def main():
    """Print the lines of all files in the folders."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ham", nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--spam", nargs="+", required=True, metavar="FOLDER")
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding="utf-8")
    for label in ("ham", "spam"):
        for folder in getattr(options, label):
            for file in sorted(Path(folder).iterdir()):
                if file.name != "cmds":
                    print(label, text_of(file.read_bytes()), sep="\t")


if __name__ == "__main__":
    main()
