# For other scripts: debian_install PACKAGE..., which fails where it cannot be done without asking a person.
debian_install() {
    command -v apt-get >/dev/null || return 1
    as_root=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root="sudo -n"
    fi
    patience="-o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=60"
    # shellcheck disable=SC2086
    $as_root apt-get $patience update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get $patience install -y -qq --no-install-recommends "$@" </dev/null
}
