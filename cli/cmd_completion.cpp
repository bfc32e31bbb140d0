// SPDX-License-Identifier: GPL-2.0-or-later
// pcivm completion bash|zsh|fish: scripts that ask `pcivm __complete WORDS...` what may come next.
#include <map>
#include <string>
#include <string_view>

#include "cli/commands.hpp"

namespace pcivm::cli {

namespace {

constexpr std::string_view kBash = R"script(# bash completion for pcivm
_pcivm() {
    local line=${COMP_LINE:0:COMP_POINT} words=() texts=() abouts=() text about paths='' i
    # Split at blanks only: to bash a colon, as in an address, ends a word.
    read -ra words <<<"$line"
    [[ $line != *[[:blank:]] ]] || words+=('')
    local typed=${words[-1]} kept=''
    while IFS=$'\t' read -r text about; do
        case $text in
        :files) paths=-f ;;
        :dirs) paths=-d ;;
        *) texts+=("$text") abouts+=("$about") ;;
        esac
    done < <(command "${1/#~\//$HOME/}" __complete "${words[@]:1}" 2>/dev/null)
    # For the same reason bash replaces only what follows the last colon or equals sign.
    [[ $typed != *[:=]* ]] || kept=${typed%"${typed##*[:=]}"}
    COMPREPLY=()
    for i in "${!texts[@]}"; do
        COMPREPLY+=("${texts[i]#"$kept"}")
        # 63: bash only lists what there is.
        [[ $COMP_TYPE != 63 || ${#texts[@]} == 1 || -z ${abouts[i]} ]] || COMPREPLY[i]+="  (${abouts[i]})"
    done
    if [[ -n $paths ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen "$paths" -- "${typed#"$kept"}")
    fi
}
complete -F _pcivm pcivm
)script";

constexpr std::string_view kZsh = R"script(#compdef pcivm
# zsh completion for pcivm
_pcivm() {
    local -a lines found
    local line
    lines=("${(@f)$(command "${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        case $line in
        '') ;;
        :files) _files ;;
        :dirs) _files -/ ;;
        *) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#found )) && _describe -t values pcivm found
}
if [[ $funcstack[1] == _pcivm ]]; then
    _pcivm "$@"
else
    compdef _pcivm pcivm
fi
)script";

constexpr std::string_view kFish = R"script(# fish completion for pcivm
function __pcivm_complete
    set -l before (commandline -opc)
    set -l typed (commandline -ct)
    for line in (command $before[1] __complete $before[2..-1] "$typed" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $typed
            case :dirs
                __fish_complete_directories $typed
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c pcivm -f -a '(__pcivm_complete)'
)script";

const std::map<std::string, std::string_view> kScripts{{"bash", kBash}, {"fish", kFish}, {"zsh", kZsh}};

}  // namespace

void add_completion(CLI::App& root, Context& context) {
  auto& shell = context.keep<std::string>();
  auto& command = add_command(root, context, "completion", "print the script that lets a shell complete pcivm",
                              [&shell](Context& here) -> Result<int> {
                                here.put(kScripts.at(shell));
                                return 0;
                              });
  command.add_option("shell", shell, "the shell")
      ->required()
      ->type_name("bash|zsh|fish")
      ->check([](const std::string& text) {
        return kScripts.contains(text) ? std::string{} : "'" + text + "' is not one of bash, zsh, fish";
      });
}

}  // namespace pcivm::cli
