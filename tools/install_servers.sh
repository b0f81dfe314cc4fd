#!/usr/bin/env bash
# Make sure that the servers which the tests start are installed.
#
#   tools/install_servers.sh [FILE]     FILE lists Debian packages, one a line (packages.txt)
#
# Does nothing where they are all there. Otherwise root installs what is missing, with apt;
# anybody else is told the names. The tests start private instances of their own, so no
# service of the system is created, started or enabled here.
set -euo pipefail

file=${1:-"$(dirname "$0")/../packages.txt"}
policy=/usr/sbin/policy-rc.d
no_cluster=/etc/postgresql-common/createcluster.d/zz-no-main-cluster.conf

# The program that tells, where there is no dpkg to ask, that the package's software is there.
program_of() {
    case $1 in
    postgresql-*) echo postgres ;;
    python3-dev) echo python3-config ;;
    *) echo "$1" ;;
    esac
}

is_present() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]] ||
        command -v "$(program_of "$1")" >/dev/null
}

# Debian's packages start their server on installation and at every boot. Refuse the first
# while apt runs, and take back the second for what was installed here.
forbid_services() {
    if [[ ! -e $policy ]]; then
        made+=("$policy")
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    if [[ ! -e $no_cluster ]]; then
        made+=("$no_cluster")
        mkdir -p "$(dirname "$no_cluster")"
        echo 'create_main_cluster = false' >"$no_cluster"
    fi
}

disable_at_boot() {
    [[ -d /run/systemd/system ]] || return 0
    local package
    for package in "$@"; do
        case $package in
        postgresql-*) systemctl --quiet disable --now postgresql.service || true ;;
        *) systemctl --quiet disable --now "$package.service" || true ;;
        esac
    done
}

quietly() {
    "$@" >"$log" 2>&1 </dev/null && return
    cat "$log" >&2
    echo "install_servers: '$*' failed; its output stands above" >&2
    return 1
}

install_packages() {
    export DEBIAN_FRONTEND=noninteractive
    made=()
    log=$(mktemp)
    trap 'rm -f "$log" "${made[@]}"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    forbid_services
    quietly apt-get -o DPkg::Lock::Timeout=120 update
    quietly apt-get -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold \
        install -y --no-install-recommends "$@"
    disable_at_boot "$@"
}

missing=()
while read -r package; do
    is_present "$package" || missing+=("$package")
done < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$file")

if ((${#missing[@]} == 0)); then
    exit 0
elif [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "install_servers: installing ${missing[*]}" >&2
    install_packages "${missing[@]}"
else
    echo "install_servers: these Debian packages are missing: ${missing[*]}" >&2
    echo "install_servers: install them, or run this once as root on Debian 12:" >&2
    echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
