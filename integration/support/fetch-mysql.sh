#!/usr/bin/env bash
# Unpacks MySQL's server and clients from Debian's unstable suite into DIR/root, with every library they need
# (52 MB of packages, signed; apt checks them). Nothing is installed and the host's own apt state is not touched,
# so no root is needed. The programs run through the folder's own loader, because its C library is newer than the host's.
#
#   fetch-mysql.sh DIR
#
# Run it under a lock on DIR. DIR/root appears only when it is complete.
set -euo pipefail
dir=$1
[ -d "$dir/root" ] && exit 0
for program in apt-get dpkg; do
  command -v "$program" >/dev/null || { echo "MySQL is unpacked from Debian packages, and $program is not here" >&2; exit 1; }
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || { echo "$keyring is missing (package debian-archive-keyring)" >&2; exit 1; }

work=$(mktemp -d "$dir/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/root
: > "$work/status" # no package counts as installed, so apt names the whole closure
echo "deb [signed-by=$keyring] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} sid main" > "$work/sources.list"
cat > "$work/apt.conf" <<CONF
Dir::State "$work";
Dir::State::Lists "$work/lists";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
APT::Install-Recommends "false";
APT::Sandbox::User "$(id -un)";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
CONF
export APT_CONFIG=$work/apt.conf
apt-get update -qq
# The clients' perl scripts, the compiler's base files and locale tables are dependencies that we never run.
apt-get install -y -qq --no-install-recommends --print-uris mysql-server-core mysql-client-core \
  | awk '{print $2}' | sed 's/_.*//' \
  | grep -Ev '^(perl|libperl|gcc-|libgdbm|libdb5|libc-gconv|libbz2|libcrypt1$)' > "$work/packages"
(cd "$work/cache/archives" && xargs apt-get download -qq < "$work/packages")
for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$work/root"; done
mv "$work/root" "$dir/root"
