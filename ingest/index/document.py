"""The document of a commit and its mapping, defined once: the class serves mapping and typed search.

Apart from what makes documents, because that runs in every process that reads, and the DSL takes long to import.
"""

from typing import Any

from elasticsearch.dsl import Document, Index, InnerDoc
from elasticsearch.dsl import Mapping as DslMapping
from elasticsearch.dsl.document_base import MetaField
from elasticsearch.dsl.field import Alias, Boolean, Date, Integer, Keyword, Long, Object, Short, Text

MAPPING_VERSION = 1
"""Raised when the mapping changes in a way that makes existing documents wrong."""

LONGEST_KEYWORD = 8191
"""Characters; Lucene's limit is 32,766 bytes, and a character takes at most four."""


def _keyword() -> Keyword:
    return Keyword(ignore_above=LONGEST_KEYWORD)


def _stored() -> Keyword:
    return Keyword(index=False, doc_values=False)


class Person(InnerDoc):
    """An author or committer, as the commit names them (after the repository's own mailmap)."""

    name = Keyword(ignore_above=LONGEST_KEYWORD, fields={"text": Text()})
    email = _keyword()
    domain = _keyword()


class File(InnerDoc):
    """A file that a commit touches, against its (for merges: each) parent."""

    path = _keyword()
    old_path = _keyword()
    action = _keyword()
    added = Integer()
    removed = Integer()
    binary = Boolean()
    modes = _stored()
    indexes = _stored()


class Trailers(InnerDoc):
    """The trailers that Perceval knows, each a list of values."""

    acked_by = _keyword()
    co_authored_by = _keyword()
    helped_by = _keyword()
    mentored_by = _keyword()
    reported_by = _keyword()
    reviewed_by = _keyword()
    signed_off_by = _keyword()
    suggested_by = _keyword()
    tested_by = _keyword()


class Commit(Document):
    """A commit as it is indexed; use it with ``elasticsearch.dsl`` for typed searches."""

    hash = _keyword()
    parents = _keyword()
    refs = _keyword()
    origin = _keyword()
    project = _keyword()
    author = Object(Person)
    committer = Object(Person)
    author_date = Date()
    commit_date = Date()
    author_utc_offset = Short()
    committer_utc_offset = Short()
    subject = Text(fields={"keyword": Keyword(ignore_above=LONGEST_KEYWORD)})
    message = Text()
    is_merge = Boolean()
    files = Object(File)
    files_count = Integer()
    lines_added = Long()
    lines_removed = Long()
    trailers = Object(Trailers)
    incomplete = _keyword()
    perceval_version = _keyword()
    backend_version = _keyword()
    ingested_at = Date()
    updated_on = Date()
    # What no typed field gives back exactly, so that nothing of Perceval's item is lost.
    raw = Object(enabled=False)

    # The names that GrimoireLab's dashboards know.
    author_name = Alias(path="author.name")
    author_domain = Alias(path="author.domain")
    committer_name = Alias(path="committer.name")
    utc_commit = Alias(path="commit_date")
    title = Alias(path="subject")
    grimoire_creation_date = Alias(path="author_date")

    class Meta:
        dynamic = MetaField("strict")


def mapping() -> dict[str, Any]:
    """The index mapping, as the create-index API takes it."""
    index = Index("commits")
    index.document(Commit)
    extra = DslMapping().field("@timestamp", Alias(path="commit_date"))
    extra.meta("_meta", {"mapping_version": MAPPING_VERSION})
    index.mapping(extra)
    mappings: dict[str, Any] = index.to_dict()["mappings"]
    return mappings
