# Lines "<which> <measure> <value>": the medians of first and of second for each measure, and their ratio.
function median(list, values, n, i, j, t) {
  n = split(list, values, " ")
  for (i = 1; i <= n; i++) for (j = i + 1; j <= n; j++) if (values[j] + 0 < values[i] + 0) { t = values[i]; values[i] = values[j]; values[j] = t }
  return values[int((n + 1) / 2)]
}
{ if (!($2 in seen)) { seen[$2] = 1; order[++count] = $2 } all[$1, $2] = all[$1, $2] " " $3 }
END {
  printf "\n%-18s %10s %10s %8s\n", "medians", first, second, "ratio"
  for (i = 1; i <= count; i++) {
    a = median(all[first, order[i]]); q = median(all[second, order[i]])
    printf "%-18s %10s %10s %8.2f\n", order[i], a, q, q ? a / q : 0
  }
}