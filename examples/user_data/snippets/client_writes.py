# The data producer infers, and writes features and prediction.
user_data = request.POST.get('user_data')
model_predictions = model_server.predict(user_data)  # the result includes `user_data` in the data frame
store.write_to_online_store(feature_view_name="user_data", df=pd.DataFrame(model_predictions))
