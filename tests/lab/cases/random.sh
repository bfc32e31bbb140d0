# SPDX-License-Identifier: GPL-2.0-or-later
# Random changes of the host against a model of what they should do. No case of its own: sourced by change-random*.sh
# after lib.sh, which then call `random_changes COUNT`. The seed is printed first; a file seed beside the case sets it.
#
# The model: what sysfs and the PF's driver must say of each function.
declare -A driver=() override=() native=() count=() attribute=()
pfs=() wholes=() sharers=()

model_start() {
    local each
    igb=$(bdf igb) nvme=$(bdf nvme)
    pfs=("$igb" "$nvme")
    shared=$(lspci -D -n -d 8086:100e | head -n 1 | cut -d ' ' -f 1) # not every host has a shared group
    [[ -z $shared ]] || for each in "$pci/$shared"/iommu_group/devices/*; do
        [[ $(<"$each/class") == 0x06* ]] || sharers+=("${each##*/}") # bridges stay as they are
    done
    wholes=("$(bdf e1000e)" "$nvme" "${sharers[@]}")
    for each in "${pfs[@]}" "${wholes[@]}"; do
        native[$each]=$(driver_of "$each") driver[$each]=$(driver_of "$each") override[$each]='(null)'
    done
    for each in "${pfs[@]}"; do count[$each]=0; done
}

# The names of all VFs in the model: "PF INDEX".
model_vfs() {
    local pf index
    for pf in "${pfs[@]}"; do
        for ((index = 0; index < ${count[$pf]}; index++)); do echo "$pf/vf$index"; done
    done
}

# The model, then the host, as the same lines.
wanted() {
    local each
    for each in "${pfs[@]}"; do echo "$each numvfs=${count[$each]} autoprobe=1"; done
    for each in "${pfs[@]}" "${wholes[@]}" $(model_vfs); do echo "$each ${driver[$each]} ${override[$each]}"; done
    for each in $(sorted "${!attribute[@]}"); do echo "$each=${attribute[$each]}"; done
}
found() {
    local each address now vfs
    for each in "${pfs[@]}"; do
        echo "$each numvfs=$(<"$pci/$each/sriov_numvfs") autoprobe=$(<"$pci/$each/sriov_drivers_autoprobe")"
    done
    for each in "${pfs[@]}" "${wholes[@]}" $(model_vfs); do
        address=$pci/$each
        [[ $each != */vf* ]] || address=$pci/${each%/vf*}/virtfn${each#*/vf}
        now=${driver[$each]} # processes are slow here: one only when the driver is another
        [[ $address/driver -ef $pci/../drivers/$now ]] || now=$(readlink "$address/driver" || echo none)
        echo "$each ${now##*/} $(cat "$address/driver_override" 2>/dev/null)"
    done
    ((${#attribute[@]} == 0)) || vfs=$(ip -j -d link show dev "$(netdev_of "$igb")" | jq -c '.[0].vfinfo_list')
    for each in $(sorted "${!attribute[@]}"); do
        address=${each%.*}
        echo "$each=$(jq -r --argjson n "${address#*/vf}" --arg key "${each##*.}" \
            '.[] | select(.vf == $n) | if $key == "mac" then .address // .mac else .vlan_list[0].vlan // 0 end' <<<"$vfs")"
    done
}
sorted() {
    (($# == 0)) || printf '%s\n' "$@" | sort
}

pick() { # pick WORD...: one of them in $picked
    picked=${*:RANDOM % $# + 1:1}
}

# Each step leaves the arguments of pcivm in $arguments, the exit code it must have in $exit_wanted, and changes the
# model as a successful command changes the host. It returns false when the model is in no state for it.
step_create() {
    local pf=$1 number index bind
    number=$((RANDOM % 4 + 1))
    pick none vfio-pci host && bind=$picked
    [[ $pf != "$nvme" || $bind != host ]] || bind=none # an offline controller: its driver would wait for it in vain
    [[ ${driver[$pf]} == "${native[$pf]}" ]] || return
    [[ ${count[$pf]} == 0 ]] || return
    arguments=(vf create "$pf" "$number" --bind "$bind")
    count[$pf]=$number
    if [[ $pf == "$igb" ]] && ((RANDOM % 2)); then
        arguments+=(--mac 02:11:22:33:44:%02x --vlan 7)
        for ((index = 0; index < number; index++)); do
            attribute[$pf/vf$index.mac]=$(printf '02:11:22:33:44:%02x' "$index") attribute[$pf/vf$index.vlan]=7
        done
    fi
    for ((index = 0; index < number; index++)); do
        override[$pf/vf$index]='(null)'
        case $bind in
        none) driver[$pf/vf$index]=none ;;
        host) driver[$pf/vf$index]=igbvf ;;
        *) driver[$pf/vf$index]=$bind override[$pf/vf$index]=$bind ;;
        esac
        native[$pf/vf$index]=${driver[$pf/vf$index]}
    done
}
# Another number of VFs: those that stay keep all, the new ones have no driver.
step_recreate() {
    local pf=$1 number index key
    number=$((RANDOM % 4 + 1))
    [[ ${count[$pf]} != 0 && ${count[$pf]} != "$number" ]] || return
    arguments=(vf create "$pf" "$number" --allow-recreate)
    for ((index = ${count[$pf]}; index < number; index++)); do
        driver[$pf/vf$index]=none override[$pf/vf$index]='(null)' native[$pf/vf$index]=none
    done
    for key in "${!attribute[@]}"; do
        index=${key#"$pf"/vf}
        [[ $key != "$pf"/* ]] || ((${index%%.*} < number)) || unset "attribute[$key]"
    done
    count[$pf]=$number
}
step_destroy() {
    local pf=$1 key
    arguments=(vf destroy "$pf" --yes)
    for key in "${!attribute[@]}"; do [[ $key != "$pf"/* ]] || unset "attribute[$key]"; done
    count[$pf]=0
}
step_set() {
    [[ $(model_vfs) == *"$igb/vf"* ]] || return
    pick $(model_vfs | grep "^$igb") && vf=$picked
    pick mac vlan
    if [[ $picked == mac ]]; then
        attribute[$vf.mac]=$(printf '02:11:22:33:44:%02x' $((RANDOM % 256)))
    else
        attribute[$vf.vlan]=$((RANDOM % 4095))
    fi
    arguments=(vf set "$vf" "--$picked" "${attribute[$vf.$picked]}")
}
step_bind() {
    pick "${wholes[@]}" $(model_vfs)
    arguments=(device bind "$picked" --force no-reset) # those that share a group have a reset of the whole bus only
    if [[ ${count[$picked]:-0} -gt 0 ]]; then
        exit_wanted='[1-9]*' # it has VFs
        return
    fi
    driver[$picked]=vfio-pci override[$picked]=vfio-pci
}
step_release() {
    pick "${wholes[@]}" $(model_vfs)
    # VFs that were made for vfio-pci had no driver before: the kernel would look for one, in vain on the nvme.
    [[ $picked != */vf* || ${native[$picked]} != vfio-pci ]] || return
    arguments=(device release "$picked")
    driver[$picked]=${native[$picked]} override[$picked]='(null)'
}

step_bind_group() {
    local each
    [[ -n $shared ]] || return
    arguments=(device bind --group "$shared" --force no-reset)
    for each in "${sharers[@]}"; do driver[$each]=vfio-pci override[$each]=vfio-pci; done
}
step_release_group() {
    local each
    [[ -n $shared ]] || return
    arguments=(device release --group "$shared")
    for each in "${sharers[@]}"; do driver[$each]=${native[$each]} override[$each]='(null)'; done
}

# Runs the command with SIGKILL at a random moment; `pcivm reconcile` must then leave the state before or after it.
killed() {
    local before after
    pcivm "${arguments[@]}" >/dev/null 2>&1 &
    sleep "0.$(printf '%02d' $((RANDOM % 70)))"
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null
    expect_exit 0 pcivm reconcile -o json
    command="seed $seed, step $number: pcivm ${arguments[*]}, killed; $command"
    after=$(wanted)
    [[ $(found) != "$after" ]] || return
    eval "$model_before"
    before=$(wanted)
    [[ $(found) == "$before" ]] || fail "neither as before nor as after: $(diff <(echo "$before") <(found)
        echo 'or' && diff <(echo "$after") <(found))"
}

random_changes() {
    local number step
    seed=$(cat "${BASH_SOURCE[1]%/*}/seed" 2>/dev/null || echo $((RANDOM * 32768 + RANDOM)))
    echo "seed $seed"
    RANDOM=$((seed % 32768))
    model_start
    defer pcivm -q device release "${wholes[@]}"
    defer pcivm -q vf destroy "$nvme" --yes
    defer pcivm -q vf destroy "$igb" --yes
    for ((number = 1; number <= $1;)); do
        model_before="driver=() override=() native=() count=() attribute=(); $(declare -p driver override native count \
            attribute | sed 's/^declare -A/declare -gA/')"
        exit_wanted=0
        pick "create $igb" "create $nvme" "recreate $igb" "destroy $igb" "destroy $nvme" set set bind bind release \
            bind_group release_group
        step=$picked
        # shellcheck disable=SC2086  # words
        step_$step || continue
        number=$((number + 1))
        echo "$SECONDS s, step $number: pcivm ${arguments[*]}"
        if [[ $exit_wanted == 0 ]] && ((RANDOM % 4 == 0)); then
            killed
            continue
        fi
        run pcivm "${arguments[@]}"
        command="seed $seed, step $number: $command"
        # shellcheck disable=SC2053  # a pattern
        [[ $code == $exit_wanted ]] || fail "exit code is $code, wanted $exit_wanted"
        [[ $(found) == "$(wanted)" ]] || fail "the host differs from the model: $(diff <(wanted) <(found))"
    done
    expect_exit 0 pcivm vf destroy "$igb" --yes
    expect_exit 0 pcivm vf destroy "$nvme" --yes
    expect_exit 0 pcivm device release "${wholes[@]}"
    expect_eq "entries in the journal" "$(ls -A /run/pcivm/journal)" ""
    expect_eq "records of former drivers" "$(ls -A /run/pcivm/bound)" ""
}
