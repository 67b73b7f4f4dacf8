/* SPDX-License-Identifier: MIT */
/* Checks the members of a Hugging Face config.json against three lists: modelled, irrelevant to
 * the prediction, and known to change it without being modelled, which is an error. What every
 * family shares stands here; a family's own lists may overrule it. */
#include "error.h"
#include "model_family.h"

/* What transformers' PretrainedConfig writes for every family: names, tokens, generation. */
static const char *const irrelevant_to_all[] = {"_name_or_path",
                                                "_commit_hash",
                                                "_attn_implementation",
                                                "_attn_implementation_autoset",
                                                "transformers_version",
                                                "torch_dtype",
                                                "dtype",
                                                "use_cache",
                                                "auto_map",
                                                "transformers.js_config",
                                                "pad_token_id",
                                                "bos_token_id",
                                                "eos_token_id",
                                                "sep_token_id",
                                                "cls_token_id",
                                                "unk_token_id",
                                                "mask_token_id",
                                                "decoder_start_token_id",
                                                "initializer_range",
                                                "task_specific_params",
                                                "problem_type",
                                                "finetuning_task",
                                                "id2label",
                                                "label2id",
                                                "num_labels",
                                                "return_dict",
                                                "output_attentions",
                                                "output_hidden_states",
                                                "output_past",
                                                "torchscript",
                                                "use_bfloat16",
                                                "tf_legacy_loss",
                                                "tokenizer_class",
                                                "prefix",
                                                "language",
                                                "bad_words_ids",
                                                "max_length",
                                                "min_length",
                                                "do_sample",
                                                "early_stopping",
                                                "num_beams",
                                                "num_beam_groups",
                                                "diversity_penalty",
                                                "temperature",
                                                "top_k",
                                                "top_p",
                                                "typical_p",
                                                "repetition_penalty",
                                                "length_penalty",
                                                "no_repeat_ngram_size",
                                                "encoder_no_repeat_ngram_size",
                                                "num_return_sequences",
                                                "output_scores",
                                                "return_dict_in_generate",
                                                "forced_bos_token_id",
                                                "forced_eos_token_id",
                                                "remove_invalid_values",
                                                "exponential_decay_length_penalty",
                                                "suppress_tokens",
                                                "begin_suppress_tokens",
                                                "tie_encoder_decoder",
                                                "cross_attention_hidden_size",
                                                "gradient_checkpointing",
                                                NULL};

static const char *const unmodelled_in_all[] = {
    "quantization_config", "num_local_experts", "num_experts",
    "num_experts_per_tok", "n_routed_experts",  "moe_intermediate_size",
    "lora_rank",           "sliding_window",    NULL};

static const FixedMember fixed_in_all[] = {
    {"is_decoder", "false"},          {"is_encoder_decoder", "false"},
    {"add_cross_attention", "false"}, {"chunk_size_feed_forward", "0"},
    {"pruned_heads", "{}"},           {NULL, NULL}};

/* `modelled`: members that the family reads itself. */
static gboolean check_fixed(const JsonIn *in, const FixedMember *fixed,
                            const char *const *modelled, GPtrArray *members, GError **error)
{
    for (; fixed && fixed->member; fixed++) {
        const json_t *value = json_object_get(in->object, fixed->member);
        g_autoptr(json_t) accepted = json_loads(fixed->accepted, JSON_DECODE_ANY, NULL);
        g_ptr_array_add(members, (char *)fixed->member);
        if (!value || json_is_null(value) || json_equal(value, accepted) ||
            g_strv_contains(modelled, fixed->member))
            continue;
        g_set_error(error, ZEROSIM_ERROR, ERROR_UNMODELLED, "%s: %s: only %s is modelled",
                    in->file, fixed->member, fixed->accepted);
        return FALSE;
    }
    return TRUE;
}

static void add_names(GPtrArray *list, const char *const *names)
{
    for (; names && *names; names++)
        g_ptr_array_add(list, (char *)*names);
}

/* A member that is null says nothing, whatever its name; nor one that the family models. */
static void add_names_present(GPtrArray *list, const JsonIn *in, const ModelFamily *family,
                              const char *const *names)
{
    for (; names && *names; names++)
        if (json_in_has(in, *names) && !g_strv_contains(family->modelled, *names))
            g_ptr_array_add(list, (char *)*names);
}

gboolean model_check_members(const JsonIn *in, const ModelFamily *family, GPtrArray *warnings,
                             GError **error)
{
    g_autoptr(GPtrArray) modelled = g_ptr_array_new();
    g_autoptr(GPtrArray) irrelevant = g_ptr_array_new();
    g_autoptr(GPtrArray) unmodelled = g_ptr_array_new();
    g_ptr_array_add(modelled, (char *)"model_type");
    g_ptr_array_add(modelled, (char *)"architectures");
    add_names(modelled, family->modelled);
    add_names(irrelevant, irrelevant_to_all);
    add_names(irrelevant, family->irrelevant);
    add_names_present(unmodelled, in, family, unmodelled_in_all);
    add_names_present(unmodelled, in, family, family->unmodelled);
    if (unmodelled->len == 0) { /* null or absent: as good as irrelevant */
        add_names(irrelevant, unmodelled_in_all);
        add_names(irrelevant, family->unmodelled);
    }
    if (!check_fixed(in, fixed_in_all, family->modelled, modelled, error) ||
        !check_fixed(in, family->fixed, family->modelled, modelled, error))
        return FALSE;
    g_ptr_array_add(modelled, NULL);
    g_ptr_array_add(irrelevant, NULL);
    g_ptr_array_add(unmodelled, NULL);
    return json_in_check_members(in, (const char *const *)modelled->pdata,
                                 (const char *const *)irrelevant->pdata,
                                 (const char *const *)unmodelled->pdata, warnings, error);
}
