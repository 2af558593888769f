from featurestore.serving.request import *
