// Check reads the list of objects that Shuzha applies for a run and judges it by Kubernetes' own code: every field must be one
// that the published types know, and the pod must be admitted at the level "restricted" of the Pod Security Standards.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	if err := check(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(in io.Reader, out io.Writer) error {
	whole, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	var list struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
	}
	if err := strict(whole, &list); err != nil {
		return err
	}
	for _, raw := range list.Items {
		if err := checkOne(raw, out); err != nil {
			return err
		}
	}
	return nil
}

func checkOne(raw []byte, out io.Writer) error {
	var meta metav1.TypeMeta
	if err := json.Unmarshal(raw, &meta); err != nil {
		return err
	}
	var err error
	switch meta.Kind {
	case "Pod":
		err = checkPod(raw)
	case "Namespace":
		err = strict(raw, &corev1.Namespace{})
	case "ResourceQuota":
		err = strict(raw, &corev1.ResourceQuota{})
	case "NetworkPolicy":
		err = strict(raw, &netv1.NetworkPolicy{})
	default:
		err = fmt.Errorf("nobody expects a %q", meta.Kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", meta.Kind, err)
	}
	fmt.Fprintln(out, meta.Kind, "ok")
	return nil
}

func checkPod(raw []byte) error {
	var pod corev1.Pod
	if err := strict(raw, &pod); err != nil {
		return err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if !result.Allowed {
		return fmt.Errorf("not restricted: %s: %s", result.ForbiddenReason(), result.ForbiddenDetail())
	}
	return nil
}

// strict refuses a field that the type does not know: the server would drop it without a word, and a protection with it.
func strict(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
