from featurestore.serving.plan import *
