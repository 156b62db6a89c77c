# shellcheck shell=bash
# Completion of poc and pocadm in bash: commands and flags as --help lists them, else files.

_poc_complete() {
    local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]} word help commands flags
    local -a words=()
    # the words that are commands, as far as they go
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        help=$("$program" "${words[@]}" --help 2>/dev/null) || return
        if grep -qE "^  $word( |\$)" <<<"$(sed -n '/^commands:/,/^flags:/p' <<<"$help")"; then
            words+=("$word")
        fi
    done
    help=$("$program" "${words[@]}" --help 2>/dev/null) || return
    commands=$(sed -n '/^commands:/,/^flags:/s/^  \([a-z]*\) .*/\1/p' <<<"$help")
    flags=$(sed -n 's/^  \(-[a-zA-Z],\|   \) \(--[a-z-]*\).*/\2/p' <<<"$help")
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
    elif [[ -n $commands ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -F _poc_complete poc pocadm
