# Precomputed predictions.
model_predictions = store.get_online_features(
    feature_refs=["user_data:model_predictions"],
    entity_rows=[{"user_id": 1}],
)
