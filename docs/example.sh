#!/bin/sh
# Makes the small repository of docs/tutorial.md and docs/python.md, the same on every machine: sh docs/example.sh FOLDER
set -eu
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
mkdir -- "$1"
cd -- "$1"
git init --quiet --object-format=sha1 --initial-branch=main

# commit DATE WHO EMAIL MESSAGE: all that is in the folder
commit() {
    git add --all
    GIT_AUTHOR_NAME=$2 GIT_AUTHOR_EMAIL=$3 GIT_AUTHOR_DATE=$1 \
        GIT_COMMITTER_NAME=$2 GIT_COMMITTER_EMAIL=$3 GIT_COMMITTER_DATE=$1 git commit --quiet --message="$4"
}

ada() { commit "$1" "Ada Lovelace" ada@example.org "$2"; }
grace() { commit "$1" "Grace Hopper" grace@example.com "$2"; }
zoe() { commit "$1" "Zoé Müller" zoe@example.org "$2"; }
taro() { commit "$1" "山田 太郎" taro@example.co.jp "$2"; }

mkdir -p src/parser docs
echo "# Words" > README.md
ada "2024-01-15T10:00:00+0000" "Begin"
seq 40 > src/parser/words.py
ada "2024-02-01T09:30:00+0000" "Add the parser

It splits a text into words."
seq 60 > src/parser/words.py
grace "2024-03-12T14:00:00-0500" "Fix a memory leak in the parser

Signed-off-by: Grace Hopper <grace@example.com>"
echo "How to use it" > docs/guide.md
zoe "2024-06-20T16:45:00+0200" "Write a guide"
seq 30 > src/cache.py
ada "2024-11-05T11:00:00+0000" "Keep words in a cache"
seq 45 > src/cache.py
grace "2025-01-20T08:15:00-0500" "Bound the cache

Without a bound, its memory grew for as long as the program ran."
git mv src/parser/words.py src/parser/split.py
ada "2025-02-14T12:00:00+0000" "Rename what splits"
git checkout --quiet -b unicode
seq 80 > src/parser/split.py
taro "2025-04-03T18:20:00+0900" "Split 日本語 too

Reviewed-by: Ada Lovelace <ada@example.org>"
seq 95 > src/parser/split.py
taro "2025-04-04T10:05:00+0900" "Fix the parser for wide characters"
git checkout --quiet main
echo "and in a hurry" >> docs/guide.md
zoe "2025-04-10T09:00:00+0200" "Fix a typo in the guide"
GIT_AUTHOR_NAME="Ada Lovelace" GIT_AUTHOR_EMAIL=ada@example.org GIT_AUTHOR_DATE=2025-04-28T15:00:00+0000 \
    GIT_COMMITTER_NAME="Ada Lovelace" GIT_COMMITTER_EMAIL=ada@example.org GIT_COMMITTER_DATE=2025-04-28T15:00:00+0000 \
    git merge --quiet --no-ff --message="Merge the branch unicode" unicode
seq 99 > src/parser/split.py
taro "2025-09-30T21:40:00+0900" "Split at dashes"
git tag v1.0
