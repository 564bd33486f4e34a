/** Where a metric stands on the page: as one who trains with RL looks for it. */

/** The groups in their order: what belongs in them by name, the most important first, and what else looks like it. */
const GROUPS = [
  {
    title: "Reward",
    names: [
      "reward_mean", "reward_std", "reward_group_std", "reward_shaped_mean", "return_mean",
      "reward_chosen", "reward_rejected", "margin", "accuracy", "advantage_mean", "advantage_std",
      "frac_zero_std_groups", "frac_all_good_groups", "frac_all_bad_groups",
    ],
    like: /reward|return|advantage|accurac|margin|score|frac_.*_groups|win_?rate/i,
  },
  {
    title: "KL",
    names: ["kl_mean", "kl_coef", "kl_old", "kl_mismatch", "mismatch_logp_mean", "mismatch_logp_max", "mismatch_ratio_mean"],
    like: /(^|[^a-z])(approx_?)?kl([^a-z]|$)|mismatch|divergence/i,
  },
  { title: "Entropy", names: ["entropy_mean", "entropy_sampled"], like: /entropy/i },
  {
    title: "Lengths and truncation",
    names: ["response_len_mean", "response_len_max", "response_len_min", "truncation_rate", "prompt_len_mean", "episode_len_mean"],
    like: /len(gth)?([^a-z]|$)|completions\/|truncat|clipped_ratio|terminated/i,
  },
  {
    title: "Optimiser",
    names: [
      "loss", "grad_norm", "lr", "clip_frac", "ratio_mean", "policy_loss",
      "value_loss", "explained_variance", "value_mean", "value_clip_frac", "value_grad_norm", "value_lr",
    ],
    like: /loss|grad|(^|[^a-z])lr([^a-z]|$)|learning_rate|clip|ratio|explained_var|value/i,
  },
  {
    title: "Throughput",
    names: ["step_time", "tokens_per_second", "tokens_per_second_gpu", "samples_per_second", "env_steps_per_second", "tokens_step", "tokens_total"],
    like: /per_second|tokens|step_time|time|throughput|runtime|fps|mfu|memory/i,
  },
];

const REST = "Everything else";
const PLACES = new Map(GROUPS.flatMap((group, at) => group.names.map((name, order) => [name, [at, order]])));
const LAST = 1000;
const inOrder = new Intl.Collator("en", { numeric: true }).compare;

/** The metrics in groups: `[{title, metrics}]`, without those that are empty. */
export function grouped(metrics) {
  const found = [...GROUPS.map((group) => group.title), REST].map((title) => ({ title, metrics: [] }));
  const placed = metrics.map((name) => [name, ...place(name)]);
  placed.sort((one, other) => one[1] - other[1] || one[2] - other[2] || inOrder(one[0], other[0]));
  for (const [name, at] of placed) found[at].metrics.push(name);
  return found.filter((group) => group.metrics.length);
}

function place(name) {
  const known = PLACES.get(name);
  if (known) return known;
  const at = GROUPS.findIndex((group) => group.like.test(name));
  return [at < 0 ? GROUPS.length : at, LAST];
}
