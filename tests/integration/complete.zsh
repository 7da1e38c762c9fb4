# What a command line becomes when the user presses the tab key.
# usage: zsh -f complete.zsh <folder with the completion> <command line>
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT= RPROMPT= PS2=; fpath=(${(q)1} \$fpath); unsetopt zle_bracketed_paste prompt_sp; autoload -Uz compinit; compinit -u -D"
zpty -w shell 'zstyle ":completion:*" completer _complete; show() { print -r -- "<<$BUFFER>>"; }; zle -N show; bindkey "^X" show; bindkey "^I" complete-word'
zpty -n -w shell "$2"$'\t\x18'
zpty -r shell shown $'*<<[^$]*>>*'
shown=${shown##*<<}
print -r -- "${shown%%>>*}"
zpty -d shell
